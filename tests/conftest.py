"""Nothing of a test stays on the host: each test marked ``host`` is followed by a look at what it could have left."""

import gc
import json
import os
import signal
import time
from pathlib import Path

import jsonschema
import pytest

from bayplan.models import Settings
from bayplan.reconcile.plan import Plan
from lanes import Lanes
from leaks import DEFAULTS, leaks, namespace_fds
from told import pytest_runtest_logreport, pytest_terminal_summary

__all__ = ["pytest_runtest_logreport", "pytest_terminal_summary"]

# A shell that starts a command in the background has it ignore Ctrl-C, and all that it starts (POSIX, "Asynchronous
# Lists"): tests that press it would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Where it is set, each command that a test starts would compile all modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
SCHEMAS = Path(__file__).parent.parent / "docs/schemas"
WAIT_S = 3.0  # conmon and the kernel remove cgroups, links and lazily unmounted trees a moment after the call returns


def pytest_xdist_make_scheduler(config, log):
    return Lanes(config, log)


@pytest.fixture(autouse=True)
def nothing_left(request):
    """Fails a ``host`` test that left something, naming each thing."""
    if request.node.get_closest_marker("host") is None or os.geteuid() != 0:
        yield
        return
    cores = []
    create = Settings.__init__

    def noted(self, **values):
        create(self, **values)
        if self.state_root != DEFAULTS.state_root and self.run_root != DEFAULTS.run_root:
            cores.append(self)

    before = namespace_fds()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Settings, "__init__", noted)
        yield
    end = time.monotonic() + WAIT_S
    while True:
        gc.collect()
        left = [item for made in cores for item in leaks(made)] + sorted(namespace_fds() - before)
        if not left or time.monotonic() > end:
            break
        time.sleep(0.05)
    assert left == [], "left on the host"


@pytest.fixture(autouse=True, scope="session")
def json_is_as_published():
    """Every plan and drift as JSON, made in a test or read from a command that a test ran, is as its schema says."""
    schemas = {path.stem: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    plans, drifts = (jsonschema.Draft202012Validator(schemas[name]) for name in ("plan", "drift"))
    dump, loads = Plan.model_dump, json.loads

    def dumped(self, **options):
        found = dump(self, **options)
        if options.get("mode") == "json":
            plans.validate(loads(json.dumps(found)))
        return found

    def loaded(*given, **options):
        found = loads(*given, **options)
        if isinstance(found, dict):
            if {"generation", "found", "plan"} <= found.keys():
                drifts.validate(found)
            for made in (found, found.get("plan")):
                if isinstance(made, dict) and {"basis", "steps", "scope"} <= made.keys():
                    plans.validate(made)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Plan, "model_dump", dumped)
        patch.setattr(json, "loads", loaded)
        yield
