#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""Images of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_info
short_description: Images of a host
description:
  - Images in the shape of C(docker image inspect), by name or all.
  - Reads only.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.image_info
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: One image
  bayplan.containers.image_info:
    name: docker.io/library/nginx:1.27
  register: found
"""

RETURN = r"""
exists:
  description: Whether there is one of those.
  returned: always
  type: bool
images:
  description: The images.
  returned: always
  type: list
  elements: dict
summaries:
  description: All images of the host, short, with the containers that use them.
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
    call(Module(argument_spec=SPECS["image_info"]), "image_info")


if __name__ == "__main__":
    main()
