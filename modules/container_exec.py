#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""A command run in a container."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_exec
short_description: A command run in a container
description:
  - Run a command in a running container. A code that is not 0 fails the task, as with M(ansible.builtin.command).
  - Runs C(bayplan bridge) on the target, as root.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
attributes:
  check_mode:
    support: partial
    details: The command is not run; whether the container runs is looked at. RV(rc) is 0 then.
  diff_mode:
    support: none
extends_documentation_fragment:
  - bayplan.containers.container_exec
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: A backup of the database
  bayplan.containers.container_exec:
    container: db
    argv: [pg_dump, -U, shop]
    user: postgres
  register: dump
  changed_when: false
"""

RETURN = r"""
rc:
  description: Exit code; 127 when there is no such command, 126 when it cannot be run.
  returned: O(detach=false)
  type: int
stdout:
  description: What it wrote to standard output.
  returned: O(detach=false)
  type: str
stderr:
  description: What it wrote to standard error.
  returned: O(detach=false)
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
    one = [("argv", "command")]
    call(Module(argument_spec=SPECS["container_exec"], mutually_exclusive=one, required_one_of=one), "container_exec")


if __name__ == "__main__":
    main()
