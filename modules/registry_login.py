#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""Credentials for a registry."""

from __future__ import annotations

DOCUMENTATION = r"""
module: registry_login
short_description: Credentials for a registry
description:
  - Keep credentials that the registry accepts in containers-auth.json(5), or forget them.
  - The registry is asked in check mode as well.
  - Runs C(bayplan bridge) on the target, as root.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.registry_login
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: Of the company's registry
  bayplan.containers.registry_login:
    registry: registry.example:5000
    username: deploy
    password: "{{ vault_registry }}"
"""

RETURN = r"""
registry:
  description: The registry.
  returned: always
  type: str
username:
  description: The user.
  returned: O(state=present)
  type: str
where:
  description: File and line, resource or setting that is wrong.
  returned: failure
  type: str
hint:
  description: What to do next.
  returned: failure
  type: str
output:
  description: Last output of the program that failed.
  returned: failure
  type: str
"""

from ansible_collections.bayplan.containers.plugins.module_utils._bridge import Module, call
from ansible_collections.bayplan.containers.plugins.module_utils._specs import SPECS


def main() -> None:
    """Ask the bridge."""
    needed = [("state", "present", ["username", "password"])]
    call(Module(argument_spec=SPECS["registry_login"], required_if=needed), "registry_login")


if __name__ == "__main__":
    main()
