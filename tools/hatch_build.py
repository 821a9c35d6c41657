"""Build hook: the wheel carries the assembled Ansible collection, an editable install finds links to it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent))

from collection import assemble

# Also named by dev-mode-dirs in pyproject.toml, from where it comes onto sys.path, where Ansible looks.
DEVELOPMENT = "build/collections"


class CollectionHook(BuildHookInterface):
    """Assembles before, and forgets the copy after."""

    copy: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """``version`` is the kind of wheel: standard or editable."""
        if version == "editable":
            assemble(Path(self.root) / DEVELOPMENT, link=True)
            return
        self.copy = tempfile.TemporaryDirectory()
        assemble(Path(self.copy.name), link=False)
        build_data["force_include"][f"{self.copy.name}/ansible_collections"] = "ansible_collections"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The copy is in the wheel now."""
        if self.copy:
            self.copy.cleanup()
