#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""Containers of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_info
short_description: Containers of a host
description:
  - Containers in the shape of C(docker inspect), by name or by filters; values that may be secret are masked.
  - Reads only.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.container_info
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: One container
  bayplan.containers.container_info:
    name: web
  register: web

- name: All that run of a project
  bayplan.containers.container_info:
    filters: {project: shop, state: running}
"""

RETURN = r"""
exists:
  description: Whether there is one of those.
  returned: always
  type: bool
container:
  description: The container that was named.
  returned: when O(name) is given
  type: dict
containers:
  description: All that were found.
  returned: always
  type: list
  elements: dict
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
    call(Module(argument_spec=SPECS["container_info"]), "container_info")


if __name__ == "__main__":
    main()
