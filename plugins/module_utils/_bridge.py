# Copyright: the Bayplan contributors. Apache-2.0
"""Ask the target's ``bayplan bridge``: JSON on standard input, JSON back."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

INSTALLED = "/opt/bayplan/bin/bayplan"
OWN = ("state", "settings", "bayplan_command")


def given(options: Any) -> Any:
    """The options that were set, at every depth."""
    if isinstance(options, dict):
        return {key: given(value) for key, value in options.items() if value is not None}
    return [given(item) for item in options] if isinstance(options, list) else options


def argv_of(command: str) -> list[str]:
    """The bridge of a command: by the interpreter beside it (its virtual environment), else by its verb."""
    python = str(Path(command).resolve().parent / "python")
    return [python, "-m", "bayplan.bridge"] if os.access(python, os.X_OK) else [command, "bridge"]


def find(module: AnsibleModule) -> list[str]:
    """The argv of the bridge: the option, BAYPLAN_COMMAND, /opt/bayplan, PATH, then this interpreter's package."""
    named = module.params.get("bayplan_command") or os.environ.get("BAYPLAN_COMMAND")
    if named:
        return argv_of(named)
    if os.access(INSTALLED, os.X_OK):
        return argv_of(INSTALLED)
    found = shutil.which("bayplan")
    if found:
        return argv_of(found)
    if importlib.util.find_spec("bayplan"):
        return [sys.executable, "-m", "bayplan.bridge"]
    return module.fail_json(  # ends the process
        msg=f"bayplan is not installed on the target: not in {INSTALLED}, not in PATH",
        hint="install it there (pip install bayplan in a virtual environment), or set bayplan_command",
    )


def ask(module: AnsibleModule, request: dict[str, Any]) -> None:
    """Run one request and end the module with its response."""
    request = dict(request, check=module.check_mode, settings=given(module.params.get("settings") or {}))
    argv = find(module)
    try:
        code, out, err = module.run_command(argv, data=json.dumps(request), handle_exceptions=False)
    except OSError as error:
        module.fail_json(msg=f"cannot run {argv[0]}: {error.strerror}", hint="check bayplan_command on the target")
    try:
        response = json.loads(out)
    except ValueError:
        module.fail_json(msg=f"{' '.join(argv)} gave no answer (exit code {code})", output=out, stderr=err)
    for warning in response.pop("warnings", []):
        module.warn(warning)
    if response.get("failed"):
        response.pop("failed")
        module.fail_json(**response)
    if not module._diff or not response.get("diff"):
        response.pop("diff", None)
    module.exit_json(**response)


def resource(module: AnsibleModule, kind: str) -> None:
    """Make one resource as its options say, or absent."""
    state = module.params["state"]
    if state == "absent":
        ask(module, {"verb": "apply", "absent": [{"kind": kind, "name": module.params["name"]}]})
    values = {key: value for key, value in given(module.params).items() if key not in OWN}
    ask(module, {"verb": "apply", "resources": [dict(values, kind=kind)], "options": {"state": state}})
