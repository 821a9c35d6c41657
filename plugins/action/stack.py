# Copyright: the Bayplan contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of the module stack: takes a project's files from where Ansible runs, if it is asked to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.bayplan.containers.plugins.plugin_utils._direct import DirectAction
from ansible_collections.bayplan.containers.plugins.plugin_utils._tree import Tree

TRIES = 3


class ActionModule(DirectAction):
    """Ansible looks for this name."""

    _tree: Tree | None = None

    def ask(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """The module's result; what it needs of the files goes before."""
        if not boolean(arguments.get("remote_src", True), strict=False):
            try:
                self._tree = self._found(arguments, task_vars)
            except AnsibleError as error:
                return {"failed": True, "changed": False, "msg": str(error), "where": str(arguments.get("project_src"))}
        elif arguments.get("templates") or arguments.get("exclude"):
            return {"failed": True, "changed": False, "msg": "templates and exclude need remote_src: false"}
        return super().ask(arguments, task_vars)

    def _found(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> Tree | None:
        source = arguments.get("project_src")
        if not source:
            if arguments.get("state") == "absent" and arguments.get("project_name"):
                return None
            raise AnsibleError("remote_src: false needs project_src")
        top = Path(self._find_needle("files", str(source)))
        if not top.is_dir():
            raise AnsibleError(f"{top} is no directory")
        for name in arguments.get("files") or ():
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise AnsibleError(f"files: {name} is not within {source}; name it relative to it")
        patterns = {name: [str(item) for item in arguments.get(name) or ()] for name in ("templates", "exclude")}
        return Tree(top, **patterns, render=lambda path: self._rendered(path, task_vars))

    def _rendered(self, path: Path, task_vars: dict[str, Any]) -> str:
        """A template's text. A value that is marked unsafe stays as it is: the outcome is not templated again."""
        templar = self._templar.copy_with_new_env(searchpath=[str(path.parent)], available_variables=task_vars)
        text = path.read_text()
        try:
            from ansible.template import trust_as_template
        except ImportError:  # before 2.19
            return str(templar.do_template(text, preserve_trailing_newlines=True, escape_backslashes=False))
        return str(templar.template(trust_as_template(text), escape_backslashes=False))

    def _carry(self, request: str, named: str | None, task_vars: dict[str, Any]) -> tuple[int, str, str]:
        """Send the request with the list of files, then what is missing, then the request again."""
        whole = json.loads(request)
        stack = whole.get("stack") or {}
        if self._tree is None:
            stack.pop("remote_src", None)
            return super()._carry(json.dumps(whole), named, task_vars)
        stack |= {"sent": self._tree.request(stack.get("project_name"))}
        for _ in range(TRIES):
            answer = super()._carry(json.dumps(whole), named, task_vars)
            missing = _missing(answer[1])
            if not missing:
                return answer
            for contents in self._tree.batches(missing):
                part = {"verb": "send", "settings": whole.get("settings"), "options": {"contents": contents}}
                sent = super()._carry(json.dumps(part), named, task_vars)
                if '"failed": true' in sent[1]:
                    return sent
        return answer


def _missing(answer: str) -> list[str]:
    try:
        found: list[str] = json.loads(answer).get("missing") or []
    except (ValueError, AttributeError):
        return []
    return found
