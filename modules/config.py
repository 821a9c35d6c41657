#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""A config that stacks name as external."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config
short_description: A config that stacks name as external
description:
  - Keep a config on the target for stacks that name it as external, or forget it.
  - A swarm keeps it itself, each content as a version with a name of its own (RV(name)), until O(state=absent).
  - Every other engine is given the file in O(settings.configs_root).
  - A container that was given it before keeps what it has; the next run of its stack gives it the new content.
  - Runs C(bayplan bridge) on the target, as root.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.config
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: The config from a vault
  bayplan.containers.config:
    name: shop_key
    data: "{{ vault_shop_key }}"

- name: Forget it
  bayplan.containers.config:
    name: shop_key
    state: absent
"""

RETURN = r"""
name:
  description: Name by which stacks find it.
  returned: always
  type: str
path:
  description: The file that holds it.
  returned: with other engines than a swarm
  type: str
exists:
  description: Whether it is there afterwards.
  returned: always
  type: bool
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
    module = Module(
        argument_spec=SPECS["config"],
        mutually_exclusive=[("data", "data_src")],
        required_if=[("state", "present", ("data", "data_src"), True)],
    )
    call(module, "config")


if __name__ == "__main__":
    main()
