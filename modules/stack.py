#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""All that a Compose file declares, on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack
short_description: All that a Compose file declares, on a host
description:
  - Make a host match a Compose file, in one task, or remove a project.
  - Runs C(bayplan bridge) on the target. Check mode shows the plan that a run would apply; diff mode shows its fields.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.stack
"""

EXAMPLES = r"""
- name: A project from a directory of the target
  bayplan.containers.stack:
    project_src: /srv/shop
    env:
      TAG: "2.1"

- name: Remove it, keep its volumes
  bayplan.containers.stack:
    project_src: /srv/shop
    state: absent
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
from ansible_collections.bayplan.containers.plugins.module_utils._bridge import ask  # noqa: E402
from ansible_collections.bayplan.containers.plugins.module_utils._specs import SPECS  # noqa: E402


def main() -> None:
    """Ask the bridge."""
    module = AnsibleModule(
        argument_spec=SPECS["stack"], supports_check_mode=True, mutually_exclusive=[("files", "definition")]
    )
    names = ("project_src", "files", "definition", "project_name", "env", "profiles")
    source = {name: module.params[name] for name in names if module.params[name] is not None}
    if module.params["state"] == "present":
        ask(module, {"verb": "apply", "stack": source})
    removal = {"volumes": module.params["remove_volumes"], "images": module.params["remove_images"]}
    ask(module, {"verb": "destroy", "stack": source, "options": removal})


if __name__ == "__main__":
    main()
