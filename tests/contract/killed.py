"""A process that applies a Compose text and kills itself at an event of the walk: ``{settings, text ...}`` on stdin."""

import itertools
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bayplan import app
from bayplan.load.compose import load_text
from bayplan.models import Settings
from contract.hosts import open_runtime

request = json.load(sys.stdin)
settings = Settings.model_validate(request["settings"])
runtime = open_runtime(settings)
stack = load_text(
    request["text"],
    label="compose.yaml",
    project_directory=Path(request["directory"]),
    project_name=request["project"],
)
seen = itertools.count(1)


def on_event(_):
    if next(seen) >= request["events"]:
        os.kill(os.getpid(), signal.SIGKILL)


_, outcome = app.converge(lambda: app.plan(stack, runtime), runtime, settings, on_event=on_event)
outcome.raise_failure()
