#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""Networks of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: network_info
short_description: Networks of a host
description:
  - Networks in the shape of C(docker network inspect), by name or all.
  - Reads only.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.network_info
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: One network
  bayplan.containers.network_info:
    name: back
"""

RETURN = r"""
exists:
  description: Whether there is one of those.
  returned: always
  type: bool
network:
  description: The network that was named.
  returned: when O(name) is given
  type: dict
networks:
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
    call(Module(argument_spec=SPECS["network_info"]), "network_info")


if __name__ == "__main__":
    main()
