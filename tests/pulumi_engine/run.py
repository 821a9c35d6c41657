"""One run: its plugins, the service for its program, and what is deleted at its end."""

import json
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
from pulumi.runtime.proto import engine_pb2_grpc, resource_pb2_grpc

from pulumi_engine.monitor import PROVIDER, STACK, Monitor
from pulumi_engine.plugin import Plugin, ProviderError
from pulumi_engine.results import Result
from pulumi_engine.state import Resource, State
from pulumi_engine.steps import StepError, Steps
from pulumi_engine.wire import bare, is_known

_OPTIONS = [("grpc.max_receive_message_length", 400 << 20), ("grpc.max_send_message_length", 400 << 20)]
_RUN_S = 300


class Run:
    """What an engine does between loading its state and ending its plugins."""

    def __init__(self, engine, *, preview=False):
        self.engine, self.result = engine, Result()
        self.state = State(engine.state_file, engine.stack)
        self.steps = Steps(self.state, self.result, preview=preview)
        self._plugins, self._references, self._lock = {}, {}, threading.RLock()
        self._output = (engine.directory / "plugin.log").open("ab")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for plugin in self._plugins.values():
            plugin.close()
        self._output.close()

    @property
    def settings(self):
        """What a program is told of its run."""
        engine = self.engine
        return {
            **{"project": engine.project, "stack": engine.stack, "organization": "organization", "parallel": 16},
            **{"config": {**engine.config, **engine.secret_config}, "configSecretKeys": list(engine.secret_config)},
            "dryRun": self.steps.preview,
        }

    def urn(self, type_, name, parent):
        above = parent.split("::")[2] if parent and f"::{STACK}::" not in parent else ""
        chain = f"{above}${type_}" if above else type_
        return f"urn:pulumi:{self.engine.stack}::{self.engine.project}::{chain}::{name}"

    def say(self, message, *, error=False):
        with self._lock:
            self.result.log += message.rstrip() + "\n"
            if error:
                self.result.errors.append(message)

    def attempt(self, what):
        """Do it; what fails is among the errors."""
        try:
            what()
        except (StepError, ProviderError) as error:
            self.say(str(error), error=True)

    def component(self, goal):
        self.steps.seen.add(goal.urn)
        if not self.steps.preview:
            self.state.put(goal, self.state.find(goal.urn))

    # -- providers ---------------------------------------------------------------------------------------------

    def reference(self, given, token):
        """The provider that a resource names, or the default one of its package."""
        if given:
            return given
        package = token.partition(":")[0]
        own = f"{package}:"
        config = {name.removeprefix(own): value for name, value in self.engine.config.items() if name.startswith(own)}
        with self._lock:
            goal = Resource(
                self.urn(f"{PROVIDER}{package}", "default", ""), f"{PROVIDER}{package}", True, inputs=config
            )
            return self.provider(goal).reference

    def provider(self, goal):
        """A provider as a program asks for it; another host is another provider, and all its resources are replaced."""
        with self._lock:
            if goal.urn in self._references:
                return self._references[goal.urn]
            old = self.state.find(goal.urn)
            plugin = self._started()
            inputs, wrong = plugin.check_config(goal.urn, old.inputs if old else {}, goal.inputs)
            if wrong:
                raise StepError("\n".join(f"{goal.name}: {one}" for one in wrong))
            inputs = {**inputs, **{name: value for name, value in goal.inputs.items() if name in inputs}}
            made = replace(goal, id=old.id if old else str(uuid.uuid4()), inputs=inputs, outputs=inputs)
            if old is not None and plugin.diff_config(goal.urn, old.inputs, old.outputs, inputs).replaces:
                made.id, old.aside = str(uuid.uuid4()), not self.steps.preview
                old = None
            if is_known(inputs):
                plugin.configure(inputs)
            self._plugins[made.reference] = plugin
            self._references[goal.urn] = made
            self.steps.seen.add(goal.urn)
            if not self.steps.preview:
                self.state.put(made, old)
            return made

    def plugin(self, reference):
        """The plugin of a provider; None while its configuration is not known. One of the state is started."""
        with self._lock:
            if reference not in self._plugins:
                known = next(one for one in self.state.resources if one.reference == reference)
                self._plugins[reference] = self._started()
                self._plugins[reference].configure(known.inputs)
            found = self._plugins[reference]
            return found if found.is_configured else None

    def _started(self):
        engine = self.engine
        return Plugin(engine.plugin_command, engine.program.parent, engine.environment, self._output)

    # -- programs ----------------------------------------------------------------------------------------------

    def program(self):
        """Run the program, and do what it asks for."""
        server, monitor = grpc.server(ThreadPoolExecutor(128), options=_OPTIONS), Monitor(self)
        resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)
        engine_pb2_grpc.add_EngineServicer_to_server(monitor, server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        engine = self.engine
        settings = {
            **{"project": engine.project, "stack": engine.stack, "parallel": 16, "dry_run": self.steps.preview},
            **{"monitor": address, "engine": address, "root_directory": str(engine.program.parent)},
            **{"config": self.settings["config"], "secret_config": self.settings["configSecretKeys"]},
        }
        argv = [sys.executable, Path(__file__).with_name("program.py"), engine.program, json.dumps(settings)]
        try:
            done = subprocess.run(
                argv, env=engine.environment, capture_output=True, text=True, check=False, timeout=_RUN_S
            )
        finally:
            server.stop(1).wait()
        self.result.log += done.stdout + done.stderr
        if done.returncode and not self.result.errors:
            self.result.errors.append(done.stderr or f"the program ended with {done.returncode}")
        self.result.outputs = bare(self.result.outputs)

    def delete_rest(self):
        """Delete what a replacement left, and what nobody asked for in this run: dependents first."""
        gone = [one for one in self.state.resources if one.aside or one.urn not in self.steps.seen]
        for old in _dependents_first(gone):
            if old.custom and not old.type.startswith(PROVIDER):
                self.attempt(lambda old=old: self.steps.delete(old, self.plugin(old.provider)))
                if not self.result.ok:
                    return
        if not self.steps.preview:
            for old in gone:
                if not old.custom or old.type.startswith(PROVIDER):
                    self.state.drop(old)


def _dependents_first(resources):
    """Resources in the order of their deletion; what a replacement left goes before all."""
    by_urn, order = {one.urn: one for one in resources if not one.aside}, []

    def visit(one):
        if one not in order:
            for urn in (*one.dependencies, one.parent):
                if urn in by_urn:
                    visit(by_urn[urn])
            order.append(one)

    for one in by_urn.values():
        visit(one)
    return [one for one in resources if one.aside] + order[::-1]
