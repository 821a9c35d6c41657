# Copyright: the Bayplan contributors. Apache-2.0
"""Ask the target's ``bayplan bridge``: JSON on standard input, JSON back."""

from __future__ import annotations

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bayplan.containers.plugins.module_utils._foreign import taken_out
from ansible_collections.bayplan.containers.plugins.module_utils._launch import INSTALLED, find
from ansible_collections.bayplan.containers.plugins.module_utils._specs import VERSION

ENGINE = ("engine", "engine_address", "engine_context", "engine_tls")
COMMON = ("settings", "bayplan_command", *ENGINE)
OWN = ("state", *COMMON)
# Maps whose values may be secret, at any depth, and options that may hold one anywhere.
SECRET_MAPS = ("environment", "env", "args", "users")
SECRET_OPTIONS = ("definition", "data", "content", "stdin", "config")
# Those of the role runtime.
PACKAGES = ("crun", "conmon", "nftables", "catatonit", "aardvark-dns")
MASK = "********"


class Module(AnsibleModule):
    """A module whose arguments may hold secrets: not logged by the target, and masked in C(invocation).

    ``no_log`` on the option itself would mask every value that equals one of its values in the whole result: with
    ``environment: {WORKERS: 2}`` each 2, with ``{NAME: web}`` the name web.
    """

    def __init__(self, **options: Any) -> None:
        self._refused: tuple[str, str] | None = None
        super().__init__(supports_check_mode=True, no_log=True, **options)
        if self._refused:
            self.fail_json("")

    def _load_params(self) -> None:
        self.load()
        self._refused = taken_out(self.params, self.argument_spec)

    def load(self) -> None:
        """Read what the task says."""
        super()._load_params()

    def fail_json(self, msg: str, **more: Any) -> Any:
        """End with a failure. An option of another collection goes before what it has led to, a missing name say."""
        refused, self._refused = self._refused, None
        if refused:
            msg, more = f"{refused[0]} ({refused[1]})", {"hint": refused[1]}
        return super().fail_json(msg, **more)

    def carry(self, request: str) -> tuple[int, str, str]:
        """Exit code, output and errors of the bridge, given a request; ends the module when there is no bridge."""
        argv = find(self.params.get("bayplan_command"))
        if not argv:
            self.fail_json(
                msg=f"bayplan is not installed on the target: not in {INSTALLED}, not in PATH",
                hint="the role bayplan.containers.runtime installs it there; or bayplan_command says where it is",
            )
        try:
            return self.run_command(argv, data=request, handle_exceptions=False)
        except OSError as error:
            return self.fail_json(
                msg=f"cannot run {argv[0]}: {error.strerror}", hint="check bayplan_command on the target"
            )

    def add_path_info(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """A path of a result is the target's: nothing is told of a file of that name where this runs."""
        return kwargs

    def _return_formatted(self, kwargs: dict[str, Any]) -> None:
        arguments = {key: MASK if key in SECRET_OPTIONS and value else value for key, value in self.params.items()}
        kwargs.setdefault("invocation", {"module_args": masked(arguments)})
        super()._return_formatted(kwargs)


def masked(value: Any) -> Any:
    """A value without what may be secret."""
    if isinstance(value, list):
        return [masked(item) for item in value]
    if not isinstance(value, dict):
        return value
    hidden = {key: dict.fromkeys(item, MASK) for key, item in value.items() if key in SECRET_MAPS and _is_map(item)}
    return {key: hidden[key] if key in hidden else masked(item) for key, item in value.items()}


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)


def given(options: Any) -> Any:
    """The options that were set, at every depth."""
    if isinstance(options, dict):
        return {key: given(value) for key, value in options.items() if value is not None}
    return [given(item) for item in options] if isinstance(options, list) else options


def ask(module: AnsibleModule, request: dict[str, Any]) -> None:
    """Run one request and end the module with its response."""
    chosen = {name: module.params.get(name) for name in ENGINE}
    settings = given({**(module.params.get("settings") or {}), **chosen})
    request = dict(request, check=module.check_mode, settings=settings, collection=VERSION)
    code, out, err = module.carry(json.dumps(request))
    try:
        response = json.loads(out)
    except ValueError:
        module.fail_json(msg=f"the bridge gave no answer (exit code {code})", output=out, stderr=err)
    for warning in response.pop("warnings", []):
        module.warn(warning)
    if not module._diff or not response.get("diff"):
        response.pop("diff", None)
    if str(response.get("hint")).removeprefix("install package ") in PACKAGES:
        better = f"{response['hint']}; the role bayplan.containers.runtime does so"
        response["msg"] = response["msg"].replace(response["hint"], better)
        response["hint"] = better
    if response.pop("failed", False):
        module.fail_json(**response)
    module.exit_json(**response)


def call(module: AnsibleModule, verb: str) -> None:
    """Ask for a verb that takes the module's own options."""
    # Not every key of params: a given alias stands there beside its option.
    options = {key: module.params[key] for key in module.argument_spec if key not in COMMON}
    ask(module, {"verb": verb, "options": given(options)})


def resource(module: AnsibleModule, kind: str) -> None:
    """Make one resource as its options say, or absent."""
    state = module.params["state"]
    if state == "absent":
        ask(module, {"verb": "apply", "absent": [{"kind": kind, "name": module.params["name"]}]})
    # Not every key of params: a given alias stands there beside its option.
    options = {key: module.params[key] for key in module.argument_spec if key not in OWN}
    ask(module, {"verb": "apply", "resources": [dict(given(options), kind=kind)], "options": {"state": state}})
