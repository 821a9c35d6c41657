# Copyright: the Bayplan contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of modules that do no more than ask the bridge: straight through the connection."""

from __future__ import annotations

import base64
import copy
import shlex
import zlib
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.vars import merge_hash
from ansible_collections.bayplan.containers.plugins.module_utils import _launch
from ansible_collections.bayplan.containers.plugins.plugin_utils import _telling
from ansible_collections.bayplan.containers.plugins.plugin_utils._here import AbsentError, run

display = Display()


class DirectAction(ActionBase):
    """Runs a module here and its request on the target; as an ordinary module where that cannot be.

    Connection, become, delegation, environment, check mode and diff are those of any module.
    """

    _supports_check_mode = True
    _supports_diff = True
    _supports_async = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of the task."""
        result = super().run(tmp, task_vars)
        return merge_hash(result, self.ask(dict(self._task.args), task_vars or {}))

    def ask(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The module's result for these arguments."""
        why_not = self._why_not()
        if not why_not:
            complete = dict(arguments)
            self._update_module_args(self._task.action, complete, task_vars)
            name = self._task.action.rpartition(".")[2]
            try:
                said = run(name, complete, lambda request, named: self._told(request, named, task_vars))
            except AbsentError as error:
                why_not = str(error)
            else:
                return self._parsed(said)
        display.vvv(f"bayplan: as an ordinary module: {why_not}", host=self._play_context.remote_addr)
        wrap_async = self._task.async_val and not self._connection.has_native_async
        result = self._execute_module(module_args=arguments, task_vars=task_vars, wrap_async=wrap_async)
        if not wrap_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _why_not(self) -> str:
        """Why a request cannot go through standard input of one command; empty when it can."""
        connection = self._connection
        if self._task.async_val:
            return "the task is asynchronous"
        if not connection.has_pipelining or connection.always_pipeline_modules:
            return f"the connection {connection.transport} passes no input"
        if connection._shell.SHELL_FAMILY != "sh":
            return f"the shell is {connection._shell.SHELL_FAMILY}"
        become = connection.become
        if become is None:
            return ""
        if become.name.rpartition(".")[2] == "su":
            return "su wants a terminal"
        asks = become.expect_prompt() and not connection.get_option("pipelining")
        return "a password is asked for, and pipelining is off" if asks else ""

    def _told(self, request: str, named: str | None, task_vars: dict[str, Any]) -> tuple[int, str, str]:
        """Carry the request; meanwhile another hears now and then how far it is, where somebody wants to see it."""
        silent = self._task.no_log or self._task.check_mode
        if not _telling.every_s or silent:
            return self._carry(request, named, task_vars)
        twin = copy.copy(self)
        twin._connection = copy.copy(self._connection)  # each has one command at a time

        def hear(question: str) -> str:
            return DirectAction._carry(twin, question, named, task_vars)[1]

        host = str(task_vars.get("inventory_hostname"))
        with _telling.heard(request, hear, lambda line: display.display(f"  {host}: {line}")) as telling:
            return self._carry(telling, named, task_vars)

    def _carry(self, request: str, named: str | None, task_vars: dict[str, Any]) -> tuple[int, str, str]:
        """Run the bridge on the target. Raises AbsentError when it did not begin."""
        packed = base64.b64encode(zlib.compress(Path(_launch.__file__).read_bytes(), 9)).decode()
        program = f"import binascii,zlib;exec(zlib.decompress(binascii.a2b_base64('{packed}')))"
        words = [shlex.quote(item) for item in (program, *([named] if named else []))]
        command = " ".join([self._compute_environment_string(), self._python(task_vars), "-c", *words])
        done = self._low_level_execute_command(command.strip(), in_data=request.encode())
        begun, rest = done["stdout"].partition(_launch.BEGUN)[1:]
        if not begun or _launch.ABSENT in rest:
            raise AbsentError(f"no bridge was found this way ({done['stderr'].strip() or done['rc']})")
        answer = next((line for line in reversed(rest.splitlines()) if line.startswith("{")), rest)
        return done["rc"], answer, done["stderr"]

    def _python(self, task_vars: dict[str, Any]) -> str:
        """The target's interpreter, as it is named or was found by a module before; any, as long as none was."""
        if self._task.delegate_to:
            task_vars = (task_vars.get("ansible_delegated_vars") or {}).get(self._task.delegate_to) or {}
        named = str(self._templar.template(task_vars.get("ansible_python_interpreter") or "auto"))
        if named.startswith("auto"):
            named = (task_vars.get("ansible_facts") or {}).get("discovered_interpreter_python") or "python3"
        return named

    def _parsed(self, said: str) -> dict[str, Any]:
        """A module's output as a result, whichever release of ansible-core this is."""
        form = {"stdout": said, "stdout_lines": said.splitlines(), "stderr": "", "rc": 0}
        try:
            result = self._parse_returned_data(form, "legacy")
        except TypeError:  # before 2.19
            result = self._parse_returned_data(form)
        if not isinstance(result, dict):  # 2.21: as its own ``_execute_module`` goes on with it
            result.remove_internal_keys()
            result = result.as_result_dict(for_round_trip=True)
        result.pop("_ansible_parsed", None)
        for name in ("stdout", "stderr"):  # as ``_execute_module`` adds them
            if isinstance(result.get(name), str):
                result.setdefault(f"{name}_lines", result[name].splitlines())
        return result
