# Copyright: the Bayplan contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts from their short spellings."""

from __future__ import annotations

DOCUMENTATION = r"""
name: mount_parts
short_description: Mounts from their short spellings
description:
  - Reads what O(bayplan.containers.container#module:mounts) takes.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan where Ansible runs
options:
  _input:
    description: One spelling or a list of them, such as V(data:/var/lib/app:ro).
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: The directories of the host that a list gives away
  ansible.builtin.debug:
    msg: "{{ ['data:/data', '/srv/www:/www:ro'] | bayplan.containers.mount_parts
             | selectattr('type', 'eq', 'bind') | map(attribute='source') }}"
"""

RETURN = r"""
_value:
  description: A list of C(type), C(source), C(target), C(read_only) and more, one for each mount.
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.bayplan.containers.plugins.plugin_utils._package import package, told


def mounts(spellings: Any) -> list[dict[str, Any]]:
    """The mounts. Raises AnsibleError for what is none."""
    given = list(spellings) if isinstance(spellings, (list, tuple)) else [spellings]
    short = package("bridge.mount_spellings").short
    with told("mount_parts"):
        return [short(str(item), "") for item in given]


class FilterModule:
    """Ansible looks for this name."""

    def filters(self) -> dict[str, Any]:
        """Name to function."""
        return {"mount_parts": mounts}
