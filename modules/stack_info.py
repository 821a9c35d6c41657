#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""What a project has on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_info
short_description: What a project has on a host
description:
  - Containers, services, networks and volumes of a project, with their states.
  - Reads only.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.stack_info
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: Until all of it is well
  bayplan.containers.stack_info:
    project_name: shop
  register: shop
  until: shop.healthy
"""

RETURN = r"""
exists:
  description: Whether it has anything.
  returned: always
  type: bool
healthy:
  description: Whether all its containers run, and none with a health check is anything but healthy.
  returned: always
  type: bool
running:
  description: How many of its containers run.
  returned: always
  type: int
containers:
  description: Its containers.
  returned: always
  type: list
  elements: dict
services:
  description: Its services, of a swarm.
  returned: always
  type: list
  elements: dict
networks:
  description: Its networks.
  returned: always
  type: list
  elements: dict
volumes:
  description: Its volumes.
  returned: always
  type: list
  elements: dict
report:
  description: What it declares and runs, secrets as fingerprints.
  returned: with O(report=true)
  type: dict
engine:
  description: Who runs it.
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
    call(Module(argument_spec=SPECS["stack_info"]), "stack_info")


if __name__ == "__main__":
    main()
