# Copyright: the Bayplan contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of an image's reference."""

from __future__ import annotations

DOCUMENTATION = r"""
name: image_parts
short_description: The parts of an image's reference
description:
  - Reads a reference as every tool of the field does, short names and Docker Hub's among them.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan where Ansible runs
options:
  _input:
    description: The reference.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Where redis comes from
  ansible.builtin.debug:
    msg: "{{ ('redis:7' | bayplan.containers.image_parts).registry }}" # docker.io
"""

RETURN = r"""
_value:
  description:
    - C(registry), C(repository), C(tag), C(digest) (unset ones are null), C(name) without tag and digest, C(full), and
      C(familiar), the short spelling.
  type: dict
"""

from typing import Any

from ansible_collections.bayplan.containers.plugins.plugin_utils._package import package, told


def parts(reference: str) -> dict[str, str | None]:
    """The parts. Raises AnsibleError for what is no reference."""
    references = package("models.reference").ImageReference
    with told("image_parts"):
        found = references.parse(str(reference))
    whole = {name: getattr(found, name) for name in ("registry", "repository", "tag", "digest", "name", "familiar")}
    return {**whole, "full": str(found)}


class FilterModule:
    """Ansible looks for this name."""

    def filters(self) -> dict[str, Any]:
        """Name to function."""
        return {"image_parts": parts}
