#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""An image given to another host without a registry."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_copy
short_description: An image given to another host without a registry
description:
  - Send an image of the target to another host over SSH; what is there already is not sent.
  - The target needs a key that the other host accepts, and bayplan there.
  - Runs C(bayplan bridge) on the target, as root.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
attributes:
  check_mode:
    support: partial
    details: What the other host lacks is known only when it is asked; the image must be here.
  diff_mode:
    support: partial
    details: Names the host and the digest
extends_documentation_fragment:
  - bayplan.containers.image_copy
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: The image that was built here, on every node
  bayplan.containers.image_copy:
    name: local/web:1
    target: ssh://root@{{ item }}
  loop: "{{ groups.nodes }}"
"""

RETURN = r"""
digest:
  description: Digest of the manifest.
  returned: always
  type: str
blobs:
  description: How many blobs were sent.
  returned: success
  type: int
size_bytes:
  description: How many bytes were sent.
  returned: success
  type: int
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
    call(Module(argument_spec=SPECS["image_copy"]), "image_copy")


if __name__ == "__main__":
    main()
