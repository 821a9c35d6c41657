#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""A named volume on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: volume
short_description: A named volume on a host
description:
  - Make a volume, or remove it with its data.
  - Runs C(bayplan bridge) on the target, as root.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.volume
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: A volume for a database
  bayplan.containers.volume:
    name: data
    labels:
      backup: daily
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
volume:
  description:
    - The volume in the shape of C(docker volume inspect), with C(users), the containers that mount it.
    - Unset when it is not there.
  returned: when the declaration was understood
  type: dict
"""

from ansible_collections.bayplan.containers.plugins.module_utils._bridge import Module, resource
from ansible_collections.bayplan.containers.plugins.module_utils._specs import SPECS


def main() -> None:
    """Ask the bridge."""
    module = Module(argument_spec=SPECS["volume"])
    resource(module, "volume")


if __name__ == "__main__":
    main()
