# Copyright: the Bayplan contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module of this collection run where Ansible runs; only its request goes to the target.

The module is the same in every respect but one: its arguments are checked, its request is made and its answer is read
here, and what carries the request to the target's bridge is the action's connection. So no module has to be built,
sent and started there.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any

from ansible.module_utils import basic
from ansible_collections.bayplan.containers.plugins.module_utils import _bridge

MODULES = "ansible_collections.bayplan.containers.plugins.modules"
Carry = Callable[[str, "str | None"], "tuple[int, str, str]"]


class AbsentError(Exception):
    """There is no bridge that could be asked this way; nothing was done."""


def run(name: str, arguments: dict[str, Any], carry: Carry) -> str:
    """What the module would have printed. ``carry`` takes a request and the option C(bayplan_command).

    Raises AbsentError, from ``carry``.
    """

    class Here(_bridge.Module):
        def load(self) -> None:
            self.params = json.loads(json.dumps(arguments, default=_plain))
            basic._PARSED_MODULE_ARGS = self.params  # 2.21 looks there for what the action adds

        def carry(self, request: str) -> tuple[int, str, str]:
            return carry(request, self.params.get("bayplan_command"))

    module = import_module(f"{MODULES}.{name}")
    basic._ANSIBLE_PROFILE = "legacy"
    module.Module, said = Here, io.StringIO()
    try:
        with redirect_stdout(said):
            module.main()
    except SystemExit:
        pass
    finally:
        module.Module = _bridge.Module
    return said.getvalue()


def _plain(value: Any) -> Any:
    """A value of a task that JSON has no form for, such as a date or the text of a vault."""
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
