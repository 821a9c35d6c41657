#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""What differs from what was applied last."""

from __future__ import annotations

DOCUMENTATION = r"""
module: drift_info
short_description: What differs from what was applied last
description:
  - Compare what a project has with the last generation of it, whatever its declaration says by now.
  - Reads only.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.drift_info
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: Nothing was changed by hand
  bayplan.containers.drift_info:
    project_name: shop
  register: drift
  failed_when: drift.drifted
"""

RETURN = r"""
drifted:
  description: Whether anything differs.
  returned: always
  type: bool
generation:
  description: Number of the generation that it was compared with.
  returned: always
  type: int
applied_at:
  description: When that was applied.
  returned: always
  type: str
applied_by:
  description: Who applied that.
  returned: always
  type: str
plan:
  description: What would mend it, as M(bayplan.containers.stack) has it.
  returned: always
  type: dict
causes:
  description: Resource, as C(container NAME), to sentences on why it differs, as far as that can be known.
  returned: always
  type: dict
before:
  description: What is, as text.
  returned: always
  type: str
after:
  description: What was applied, as text.
  returned: always
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
    call(Module(argument_spec=SPECS["drift_info"]), "drift_info")


if __name__ == "__main__":
    main()
