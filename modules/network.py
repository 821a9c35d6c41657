#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""A network on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: network
short_description: A network on a host
description:
  - Make a bridge network with addresses, change it, or remove it.
  - Runs C(bayplan bridge) on the target. Check mode shows the plan that a run would apply; diff mode shows its fields.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.network
"""

EXAMPLES = r"""
- name: A network without a way out
  bayplan.containers.network:
    name: back
    internal: true
    subnet: 10.99.1.0/24
"""

RETURN = r"""
plan:
  description: What was planned, with each field's value before and after, and why. Secret values are masked.
  returned: success
  type: dict
result:
  description: The steps that were done; unset in check mode.
  returned: success
  type: dict
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

from ansible.module_utils.basic import AnsibleModule  # noqa: E402 - documentation stands first in a module
from ansible_collections.bayplan.containers.plugins.module_utils._bridge import resource  # noqa: E402
from ansible_collections.bayplan.containers.plugins.module_utils._specs import SPECS  # noqa: E402


def main() -> None:
    """Ask the bridge."""
    module = AnsibleModule(argument_spec=SPECS["network"], supports_check_mode=True)
    resource(module, "network")


if __name__ == "__main__":
    main()
