"""One stack of one program: preview, up, refresh, destroy and import, with state in a file."""

import os
import sys
from dataclasses import replace
from pathlib import Path

from pulumi_engine.monitor import PROVIDER
from pulumi_engine.run import Run
from pulumi_engine.state import Resource, State
from pulumi_engine.steps import StepError

TOP = Path(__file__).parents[2]


class Engine:
    """``program`` is a file; ``config`` the stack's configuration (``bayplan:host`` and the like)."""

    def __init__(self, directory, program, config=None, *, stack="dev", project="ship", environment=None):
        self.directory, self.program = Path(directory), Path(program)
        self.plugin_command = [sys.executable, "-m", "bayplan.pulumi"]
        paths = os.pathsep.join([str(TOP / "src"), str(TOP / "sdk/python"), os.environ.get("PYTHONPATH", "")])
        self.environment = {**os.environ, "PYTHONPATH": paths.rstrip(os.pathsep), **(environment or {})}
        self.begin(project, stack, config or {})

    def begin(self, project, stack, config):
        """Go to a stack, which is made if there is none of that name."""
        self.project, self.stack = project, stack
        self.config, self.secret_config = dict(config), {}
        self.state_file = self.directory / f"{project}-{stack}.json"

    def preview(self):
        """What ``up`` would do. Changes nothing."""
        return self._run(preview=True, program=True)

    def up(self):
        """Bring everything to what the program asks for."""
        return self._run(program=True)

    def destroy(self):
        """Delete everything."""
        return self._run()

    def refresh(self):
        """State as the host has it now."""
        with Run(self) as run:
            for old in list(run.state.resources):
                if old.custom and not old.type.startswith(PROVIDER):
                    run.attempt(lambda old=old: _refreshed(run, old))
            return run.result

    def import_(self, type_, name, id_):
        """Take a resource of the host into the state, by its id; returns its inputs."""
        with Run(self) as run:
            urn = run.urn(type_, name, "")
            reference = run.reference("", type_)
            found = run.plugin(reference).read(urn, id_, {}, {})
            if found is None:
                raise StepError(f"{name}: {id_} is not there")
            run.state.put(Resource(urn, type_, True, *found, provider=reference))
            return found[1]

    def state_forgets(self, name):
        """As ``pulumi state delete``: what is there stays."""
        state = State(self.state_file, self.stack)
        state.drop(next(one for one in state.resources if one.name == name))

    def resources(self):
        """Name to resource, as the state has them."""
        return {one.name: one for one in State(self.state_file, self.stack).resources if one.custom}

    def _run(self, *, preview=False, program=False):
        with Run(self, preview=preview) as run:
            if program:
                run.program()
            if run.result.ok:
                run.delete_rest()
            return run.result


def _refreshed(run, old):
    found = run.plugin(old.provider).read(old.urn, old.id, old.inputs, old.outputs)
    run.result.note("refresh", old.name)
    if found is None:
        run.state.drop(old)
    else:
        run.state.put(replace(old, inputs=found[1] or old.inputs, outputs=found[2], init_errors=[]), old)
