# Copyright: the Bayplan contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fingerprint of a secret that tells a change and not the secret."""

from __future__ import annotations

DOCUMENTATION = r"""
name: secret_hash
short_description: A fingerprint of a secret that tells a change and not the secret
description:
  - HMAC-SHA-256 of each value, or of a file's content, with a key that you keep (a vaulted variable).
  - Without the key a short secret cannot be guessed from it, as it can from a bare hash.
  - So it may stand in a label or in a variable, where a changed secret is to be seen as a change.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
options:
  _terms:
    description: The secrets; paths of their files with O(file=true).
    required: true
    type: list
    elements: str
  key:
    description: The key, at least 16 characters.
    required: true
    type: str
  file:
    description: Whether terms are files where Ansible runs, looked for as M(ansible.builtin.copy) does.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: A service that is re-created when its secret changed
  bayplan.containers.container:
    name: db
    image: docker.io/library/postgres:17
    labels:
      password-is: "{{ lookup('bayplan.containers.secret_hash', db_password, key=fingerprint_key) }}"
"""

RETURN = r"""
_raw:
  description: A hexadecimal fingerprint for each term.
  type: list
  elements: str
"""

import hashlib
import hmac
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

LEAST = 16


class LookupModule(LookupBase):
    """Ansible looks for this name."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **options: Any) -> list[str]:
        """A fingerprint for each secret. Raises AnsibleError for a short key and for files that are not there."""
        self.set_options(var_options=variables, direct=options)
        key = str(self.get_option("key"))
        if len(key) < LEAST:
            raise AnsibleError(
                f"secret_hash: the key has {len(key)} characters; give at least {LEAST}, kept in a vault"
            )
        return [hmac.new(key.encode(), self._content(term, variables), hashlib.sha256).hexdigest() for term in terms]

    def _content(self, term: Any, variables: dict[str, Any] | None) -> bytes:
        if not self.get_option("file"):
            return str(term).encode()
        found = self.find_file_in_search_path(variables, "files", str(term))
        if not found:
            raise AnsibleError(f"secret_hash: no file {term} where Ansible runs")
        return Path(found).read_bytes()
