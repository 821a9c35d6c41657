#!/usr/bin/python
# Copyright: the Bayplan contributors. Apache-2.0
"""Files into and out of a container."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_copy
short_description: Files into and out of a container
description:
  - Copy text, a file or a directory into a container, or a path out of it, when content, mode or owner differ.
  - Runs C(bayplan bridge) on the target, as root.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan on the target
extends_documentation_fragment:
  - bayplan.containers.container_copy
  - bayplan.containers.engine
"""

EXAMPLES = r"""
- name: Its settings, as text
  bayplan.containers.container_copy:
    container: web
    container_path: /etc/web.conf
    content: |
      listen 80
    mode: "0640"

- name: A directory of the target
  bayplan.containers.container_copy:
    container: web
    container_path: /srv/site
    path: /srv/site

- name: A report out of it
  bayplan.containers.container_copy:
    container: web
    container_path: /var/report.txt
    dest: /srv/report.txt
"""

RETURN = r"""
container_path:
  description: The path in the container.
  returned: always
  type: str
dest:
  description: The path on the target.
  returned: when O(dest) is given
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
    one = [("content", "path", "dest")]
    call(Module(argument_spec=SPECS["container_copy"], mutually_exclusive=one, required_one_of=one), "container_copy")


if __name__ == "__main__":
    main()
