"""The same runs by the real ``pulumi``: a file for a backend, nothing fetched, and its events read as ours."""

import json
import os
import shutil
import stat
import subprocess
import sys

import yaml

from pulumi_engine.deployment import TOP, Engine
from pulumi_engine.results import Result
from pulumi_engine.state import Resource
from pulumi_engine.wire import SIGNATURE

MISSING = [name for name in ("pulumi", "pulumi-language-python") if shutil.which(name) is None]
_RUN_S = 600
_APART = ("pulumi:pulumi:Stack", "pulumi:providers:")
_PLUGIN = """#!/bin/sh
PYTHONPATH={path} exec {python} -m bayplan.pulumi "$@"
"""


class Pulumi(Engine):
    """A project of the real command, in a directory of its own."""

    def begin(self, project, stack, config):
        super().begin(project, stack, config)
        home = self.directory / "pulumi"
        plugins, backend = home / "plugin", home / "backend"
        for folder in (plugins, backend):
            folder.mkdir(parents=True, exist_ok=True)
        plugin = plugins / "pulumi-resource-bayplan"
        plugin.write_text(_PLUGIN.format(path=TOP / "src", python=sys.executable))
        plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
        self.environment |= {
            "PULUMI_HOME": str(home),
            "PULUMI_BACKEND_URL": f"file://{backend}",
            "PULUMI_CONFIG_PASSPHRASE": "correct horse",
            "PULUMI_DEBUG_COMMANDS": "true",  # it has --event-log then
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }
        project = {
            "name": self.project,
            "runtime": {"name": "python", "options": {"virtualenv": sys.prefix, "toolchain": "pip"}},
            "plugins": {"providers": [{"name": "bayplan", "path": str(plugins)}]},
        }
        (self.program.parent / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        self._ask("stack", "init", self.stack, check=False)  # it may be there
        self.state_file = backend / f".pulumi/stacks/{self.project}/{self.stack}.json"

    def preview(self):
        return self._run("preview")

    def up(self):
        return self._run("up", "--yes", "--skip-preview")

    def destroy(self):
        return self._run("destroy", "--yes", "--skip-preview")

    def refresh(self):
        return self._run("refresh", "--yes", "--skip-preview")

    def import_(self, type_, name, id_):
        self._configure()
        self._ask("import", type_, name, id_, "--yes", "--protect=false", "--out", os.devnull)
        return self.resources()[name].inputs

    def state_forgets(self, name):
        self._ask("state", "delete", self.resources()[name].urn, "--yes")

    def resources(self):
        exported = json.loads(self._ask("stack", "export", "--show-secrets").stdout)
        found = {}
        for item in exported["deployment"].get("resources", []):
            if item["custom"]:
                made = Resource(item["urn"], item["type"], True, item.get("id", ""))
                made.inputs, made.outputs = (_opened(item.get(name, {})) for name in ("inputs", "outputs"))
                found[made.name] = made
        return found

    def _run(self, *command):
        self._configure()
        log = self.directory / "events.json"
        log.unlink(missing_ok=True)
        done = self._ask(*command, "--event-log", log, check=False)
        result = Result(log=done.stdout + done.stderr)
        for line in log.read_text().splitlines() if log.exists() else ():
            _read(json.loads(line), result)
        if done.returncode and not result.errors:
            result.errors.append(result.log)
        result.outputs = json.loads(self._ask("stack", "output", "--json", "--show-secrets").stdout)
        return result

    def _configure(self):
        plain = [part for item in self.config.items() for part in ("--plaintext", "=".join(item))]
        hidden = [part for item in self.secret_config.items() for part in ("--secret", "=".join(item))]
        if plain or hidden:
            self._ask("config", "set-all", *plain, *hidden)

    def _ask(self, *arguments, check=True):
        argv = ["pulumi", "--non-interactive", "--color", "never", *map(str, arguments)]
        argv += ["--stack", self.stack] if arguments[:2] != ("stack", "init") else []
        done = subprocess.run(
            argv,
            cwd=self.program.parent,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_RUN_S,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(argv)}: {done.stdout}{done.stderr}")
        return done


def _read(event, result):
    if "diagnosticEvent" in event and event["diagnosticEvent"]["severity"] == "error":
        result.errors.append(event["diagnosticEvent"]["message"])
    if "resourcePreEvent" not in event:
        return
    about = event["resourcePreEvent"]["metadata"]
    name = about["urn"].rpartition("::")[2]
    is_custom = (about.get("new") or about.get("old") or {}).get("custom") and not about["type"].startswith(_APART)
    if not is_custom or about["op"] == "replace":  # of a replacement, the two parts are told as well
        return
    result.note(about["op"], name)
    if about.get("detailedDiff"):
        result.diffs[name] = {path: one["diffKind"] for path, one in about["detailedDiff"].items()}


def _opened(value):
    """A value without what secrets are wrapped in; exported, they are JSON in ``plaintext``."""
    if isinstance(value, dict) and SIGNATURE in value:
        return {SIGNATURE: value[SIGNATURE], "value": json.loads(value["plaintext"])} if "plaintext" in value else value
    if isinstance(value, dict):
        return {key: _opened(item) for key, item in value.items()}
    return [_opened(item) for item in value] if isinstance(value, list) else value
