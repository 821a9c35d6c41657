# Copyright: the Bayplan contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The package bayplan where Ansible runs, for plugins that compute with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from ansible.errors import AnsibleError


def package(name: str) -> ModuleType:
    """A module of the package. Raises AnsibleError when it is not where Ansible runs."""
    try:
        return import_module(f"bayplan.{name}")
    except ImportError as error:
        raise AnsibleError(
            f"the Python package bayplan is needed where Ansible runs ({error}): pip install bayplan"
        ) from error


@contextmanager
def told(what: str) -> Iterator[None]:
    """The package's errors as Ansible's: what was wrong, where, and what to do."""
    errors = package("errors")
    try:
        yield
    except (errors.BayplanError, ValueError) as error:
        raise AnsibleError(f"{what}: {error}") from None  # Ansible would say it twice
