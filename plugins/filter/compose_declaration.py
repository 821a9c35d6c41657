# Copyright: the Bayplan contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Compose file's text declares."""

from __future__ import annotations

DOCUMENTATION = r"""
name: compose_declaration
short_description: What a Compose file's text declares
description:
  - Reads the text as the module M(bayplan.containers.stack) does, and refuses what it refuses.
  - Nothing of the environment of Ansible is interpolated; give variables with O(env).
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan where Ansible runs
positional: project_name
options:
  _input:
    description: The text.
    type: str
    required: true
  project_name:
    description: Name of the project; that of the text when unset.
    type: str
  env:
    description: Variables for interpolation.
    type: dict
    default: {}
  profiles:
    description: Profiles to switch on.
    type: list
    elements: str
    default: []
  directory:
    description: Directory for relative paths.
    type: path
    default: /
"""

EXAMPLES = r"""
- name: The names of all containers that a file would make
  ansible.builtin.debug:
    msg: "{{ (lookup('ansible.builtin.file', 'compose.yaml')
              | bayplan.containers.compose_declaration('shop')).containers | map(attribute='name') }}"
"""

RETURN = r"""
_value:
  description:
    - C(name) of the project, and lists C(images), C(containers), C(networks), C(volumes), C(secrets), C(configs).
    - Each entry has the options that differ from their defaults, named as the options of the modules.
  type: dict
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.bayplan.containers.plugins.plugin_utils._package import package, told


def declaration(
    text: str,
    project_name: str | None = None,
    env: Mapping[str, Any] | None = None,
    profiles: Sequence[str] = (),
    directory: str = "/",
) -> dict[str, Any]:
    """The declaration. Raises AnsibleError naming the line that is wrong."""
    compose = package("load.compose")
    with told("compose_declaration"):
        stack = compose.load_text(
            str(text),
            label="text",
            project_directory=Path(directory),
            project_name=project_name,
            environment={name: str(value) for name, value in (env or {}).items()},
            profiles=tuple(profiles),
        )
    found: dict[str, Any] = stack.model_dump(mode="json", exclude_defaults=True)
    return found


class FilterModule:
    """Ansible looks for this name."""

    def filters(self) -> dict[str, Any]:
        """Name to function."""
        return {"compose_declaration": declaration}
