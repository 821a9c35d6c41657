# Copyright: the Bayplan contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The digest that an image's reference stands for now."""

from __future__ import annotations

DOCUMENTATION = r"""
name: digest
short_description: The digest that an image's reference stands for now
description:
  - Asks the registry, with the mirrors, credentials and policy of who runs Ansible; nothing is pulled.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan where Ansible runs
options:
  _terms:
    description: Image references.
    required: true
    type: list
    elements: str
  platform:
    description:
      - The manifest of this platform, C(os/architecture[/variant]).
      - Unset, it is what the reference names itself, which is an index for an image of several platforms.
    type: str
  pinned:
    description: Whether to give the whole reference with the digest in place of the digest alone.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: The same image on every host, whatever moves meanwhile
  bayplan.containers.container:
    name: cache
    image: "{{ lookup('bayplan.containers.digest', 'docker.io/library/redis:7', pinned=true) }}"
"""

RETURN = r"""
_raw:
  description: One digest or reference for each term.
  type: list
  elements: str
"""

from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.bayplan.containers.plugins.plugin_utils._package import package, told


class LookupModule(LookupBase):
    """Ansible looks for this name."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **options: Any) -> list[str]:
        """A digest for each reference. Raises AnsibleError when the registry does not tell."""
        self.set_options(var_options=variables, direct=options)
        references = package("models.reference").ImageReference
        client = package("registry.client").RegistryClient(package("engines").load_settings())
        platform, found = self.get_option("platform"), []
        for term in terms:
            with told(f"digest of {term}"):
                reference = references.parse(str(term))
                digest = (client.select(reference, platform) if platform else client.manifest(reference))[0]
                found.append(str(reference.with_digest(digest)) if self.get_option("pinned") else digest)
        return found
