#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""What the engine of a host is and has."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: What the engine of a host is and has
description:
  - The engine of a host, what it cannot do, and the names of all that it has.
  - Reads only.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.host_info
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: Who runs the containers here
  bayplan.containers.host_info:
  register: found
"""

RETURN = r"""
host:
  description: C(name), C(engine), C(engine_version) and C(bayplan), the version of the package.
  returned: always
  type: dict
unsupported:
  description: Options that this host cannot honour, with the reason.
  returned: always
  type: dict
state_root:
  description: Where its records are.
  returned: always
  type: str
containers:
  description: Names of its containers.
  returned: always
  type: list
  elements: str
images:
  description: Names of its images.
  returned: always
  type: list
  elements: str
networks:
  description: Names of its networks.
  returned: always
  type: list
  elements: str
volumes:
  description: Names of its volumes.
  returned: always
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
    call(Module(argument_spec=SPECS["host_info"]), "host_info")


if __name__ == "__main__":
    main()
