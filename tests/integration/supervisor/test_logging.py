"""Log drivers and the limits of one service's log. Fault row 31: 10,000 log lines a second."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bayplan.errors import UnsupportedError
from bayplan.models import Container
from bayplan.runtime.native.containers import journal
from bayplan.runtime.native.containers.paths import Paths
from bayplan.runtime.native.containers.rotation import files
from bayplan.runtime.native.options import check_options
from faults.core import small_core

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
LINES = 50000
FLOOD = f"""\
command:
- sh
- -c
- |
  i=0
  while [ $$i -lt {LINES} ]; do
    busybox seq $$((i + 1)) $$((i + 1000)); i=$$((i + 1000)); sleep 0.1
  done
  sleep 60
network_mode: none
logging: {{driver: json-file, options: {{max-size: 256k, max-file: "3"}}}}
"""


def peak_kb(pid):
    (line,) = (one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1])


def test_ten_thousand_lines_a_second(core):
    """Fault row 31: bounded memory, rotation, losses counted; what is left has no hole."""
    core.apply(FLOOD)
    paths = Paths.of(core.settings, core.row["id"])
    supervisor, monitor = core.supervisor, int(paths.monitor_pid_file.read_text())
    before = peak_kb(supervisor.pid)
    core.until(lambda: paths.log.exists() and b"F %d\n" % LINES in paths.log.read_bytes())
    core.until(lambda: any(core.runtime.logs("bps-app-1", tail=1)))
    kept = files(paths.log)
    assert len(kept) <= 3
    assert sum(item.stat().st_size for item in kept) < 3 << 20
    # The very first may be the end of a line that began in a file that is gone.
    numbers = [int(line.text) for line in core.runtime.logs("bps-app-1")][1:]
    assert numbers == list(range(numbers[0], LINES + 1))
    lost = core.runtime.inspect("bps-app-1")["LogLostBytes"]
    assert numbers[0] > 1
    assert lost > 40 * (numbers[0] - 1)
    assert peak_kb(monitor) < 16 << 10
    assert peak_kb(supervisor.pid) < before + (8 << 10)


def test_a_host_without_a_journal_refuses_it(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "_SOCKET", Path("/nowhere/socket"))
    with pytest.raises(UnsupportedError, match="this host has no journal"):
        check_options(Container(name="a", image="b", logging={"driver": "journald"}), tmp_path)


JOURNALD = Path("/lib/systemd/systemd-journald")
IN_JOURNAL = """\
name: jo
services:
  app:
    image: lab/busybox
    command: [sh, -c, 'echo out; echo bad >&2; printf last; exec sleep 600']
    network_mode: none
    stop_grace_period: 50ms
    logging: {driver: journald, options: {tag: mine}}
"""


@pytest.mark.skipif(not JOURNALD.exists() or not shutil.which("journalctl"), reason="needs systemd's journal")
def test_the_journal_of_systemd(tmp_path):
    """A journal of its own, in a mount namespace in which the command runs too."""
    if Path("/run/systemd/system").exists():
        pytest.skip("this host's own journal is not ours to write to")
    script = (
        "for d in /run/systemd /run/log; do mkdir -p $d; mount -t tmpfs tmpfs $d; done\n"
        f"mkdir -p /run/log/journal; env -i {JOURNALD} >/dev/null 2>&1 & echo $!\n"
        "while [ ! -S /run/systemd/journal/socket ]; do sleep 0.05; done\necho up; exec sleep 600"
    )
    argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", script]
    held = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    journald = int(held.stdout.readline())
    try:
        assert held.stdout.readline() == "up\n"
        inside = ("nsenter", f"--mount=/proc/{held.pid}/ns/mnt", sys.executable, "-m", "bayplan")
        with small_core(tmp_path, IN_JOURNAL, command=inside) as core:
            core.call("apply")
            end = time.monotonic() + 20
            while core.call("logs", "app", "--no-log-prefix").split()[:2] != ["out", "bad"] and time.monotonic() < end:
                time.sleep(0.1)
            assert core.call("logs", "app", "--no-log-prefix", "-n", "1").split()[0] in ("bad", "last")
            core.call("stop", "app")
            assert core.call("logs", "app", "--no-log-prefix").split() == ["out", "bad", "last"]
            assert not Paths.of(core.settings, core.query("SELECT id FROM containers")[0][0]).log.exists()
    finally:
        os.kill(journald, 15)
        held.terminate()
        held.wait()
        held.stdout.close()
