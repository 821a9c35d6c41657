"""Nothing of a test stays on the host: each test marked ``host`` is followed by a look at what it could have left."""

import gc
import os
import signal
import time

import pytest

from bayplan.models import Settings
from leaks import DEFAULTS, leaks, namespace_fds

# A shell that starts a command in the background has it ignore Ctrl-C, and all that it starts (POSIX, "Asynchronous
# Lists"): tests that press it would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Where it is set, each command that a test starts would compile all modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
WAIT_S = 3.0  # conmon and the kernel remove cgroups, links and lazily unmounted trees a moment after the call returns


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
