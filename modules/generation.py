#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""The past of a project."""

from __future__ import annotations

DOCUMENTATION = r"""
module: generation
short_description: The past of a project
description:
  - List what a project was after each apply that is kept, or go back to one of those.
  - Runs C(bayplan bridge) on the target, as root.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.generation
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: What there is to go back to
  bayplan.containers.generation:
    project_name: shop
  register: past

- name: Back to the third
  bayplan.containers.generation:
    project_name: shop
    rollback_to: "3"
"""

RETURN = r"""
plan:
  description:
    - What was planned and, out of check mode, applied exactly as shown. Values that may be secret are masked.
    - RV(ignore:changed) is whether it has steps; when an apply failed, whether a step was done before.
  returned: when the declaration was understood
  type: dict
  contains:
    steps:
      description: One for each resource that is changed, in order; empty when the host matches.
      returned: always
      type: list
      elements: dict
      contains:
        resource:
          description: C(kind) and C(name).
          returned: always
          type: dict
        action:
          description: pull, build, create, update, heal, restart, re-create, start, stop or delete.
          returned: always
          type: str
        why:
          description: The reason in a sentence.
          returned: always
          type: str
        fields:
          description: What differs; C(path), C(before), C(after), C(why), and C(how) it is applied.
          returned: always
          type: list
          elements: dict
        risks:
          description: Downtime, loss of data, exposure.
          returned: always
          type: list
          elements: str
    unchanged:
      description: Resources that are as declared.
      returned: always
      type: list
      elements: dict
    kept:
      description: What was left alone on purpose, as sentences.
      returned: always
      type: list
      elements: str
result:
  description: Names of the resources whose steps are C(done), C(failed) and C(skipped); unset in check mode.
  returned: when the declaration was understood
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
generations:
  description: Newest first, each with C(number), C(applied_at), C(applied_by), C(engine), C(summary) and C(note).
  returned: always
  type: list
  elements: dict
"""

from ansible_collections.bayplan.containers.plugins.module_utils._bridge import Module, call
from ansible_collections.bayplan.containers.plugins.module_utils._specs import SPECS


def main() -> None:
    """Ask the bridge."""
    call(Module(argument_spec=SPECS["generation"]), "generation")


if __name__ == "__main__":
    main()
