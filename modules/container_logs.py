#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""What a container wrote."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_logs
short_description: What a container wrote
description:
  - The lines of a container's log, each with its time and stream.
  - Reads only.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.container_logs
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: Its last words
  bayplan.containers.container_logs:
    container: web
    tail: 20
  register: log
"""

RETURN = r"""
lines:
  description: C(time), C(stream) and C(text) of each.
  returned: always
  type: list
  elements: dict
stdout:
  description: Its standard output.
  returned: always
  type: str
stderr:
  description: Its standard error.
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
    call(Module(argument_spec=SPECS["container_logs"]), "container_logs")


if __name__ == "__main__":
    main()
