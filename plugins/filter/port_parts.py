# Copyright: the Bayplan contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published ports from their short spellings."""

from __future__ import annotations

DOCUMENTATION = r"""
name: port_parts
short_description: Published ports from their short spellings
description:
  - Reads what O(bayplan.containers.container#module:ports) takes.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan where Ansible runs
options:
  _input:
    description: One spelling or a list of them, such as V(127.0.0.1:8080-8081:80-81/tcp).
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: The ports of this host that a list opens
  ansible.builtin.debug:
    msg: "{{ ['8080:80', '127.0.0.1:5353:53/udp'] | bayplan.containers.port_parts | map(attribute='published') }}"
"""

RETURN = r"""
_value:
  description: A list of C(target), C(published), C(protocol), C(host_ip) and more, one for each port.
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.bayplan.containers.plugins.plugin_utils._package import package, told


def ports(spellings: Any) -> list[dict[str, Any]]:
    """The ports. Raises AnsibleError for what is none."""
    given = list(spellings) if isinstance(spellings, (list, tuple)) else [spellings]
    with told("port_parts"):
        return [port.model_dump(mode="json") for port in package("bridge.spellings").ports(given)]


class FilterModule:
    """Ansible looks for this name."""

    def filters(self) -> dict[str, Any]:
        """Name to function."""
        return {"port_parts": ports}
