#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""What is no longer needed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: prune
short_description: What is no longer needed
description:
  - Remove what a project had and no longer declares, or what nothing of the host uses; just what a check lists.
  - Of Docker and Podman, networks and volumes that this collection made, and whatever images nothing there uses.
  - Containers are not pruned; one that is stopped is declared, and C(state=absent) of M(bayplan.containers.container)
    removes it.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.prune
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: What the shop no longer declares, but for its data
  bayplan.containers.prune:
    project_src: /srv/shop
    keep: 3

- name: What would be freed of the host
  bayplan.containers.prune:
    images: true
    builder_cache: true
  check_mode: true
  diff: true
"""

RETURN = r"""
removed:
  description: What is gone, in check mode what would be, each with its kind.
  returned: success
  type: list
  elements: str
size_bytes:
  description: What images and caches among it took.
  returned: success
  type: int
kept:
  description: What was left alone on purpose, as sentences.
  returned: success
  type: list
  elements: str
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
    call(Module(argument_spec=SPECS["prune"], mutually_exclusive=[("definition", "files")]), "prune")


if __name__ == "__main__":
    main()
