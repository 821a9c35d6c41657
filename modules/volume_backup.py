#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""A volume's content in a tar file."""

from __future__ import annotations

DOCUMENTATION = r"""
module: volume_backup
short_description: A volume's content in a tar file
description:
  - Write a volume's content to a tar file of the target, unless that holds the same; times of files do not count.
  - What a running program writes meanwhile fails the task, and the file stays as it was.
  - Runs C(bayplan bridge) on the target, as root.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.volume_backup
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: A backup
  bayplan.containers.volume_backup:
    volume: shop_data
    path: /srv/backup/shop_data.tar
"""

RETURN = r"""
entries:
  description: How many files, directories and links it holds.
  returned: always
  type: int
path:
  description: The file.
  returned: always
  type: str
volume:
  description: The volume's name.
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
    call(Module(argument_spec=SPECS["volume_backup"]), "volume_backup")


if __name__ == "__main__":
    main()
