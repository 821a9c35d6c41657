"""What stays in memory while containers run: their monitors, and the supervisor with a health check for each."""

import statistics
import time
from pathlib import Path

from bayplan.runtime.native.supervisor import client

_SPAN_S = 30.0
STACK = """
name: bench
services:
  web:
    image: lab/busybox
    command: [sleep, "600"]
    deploy: {{replicas: {count}}}
    stop_grace_period: 0s
    healthcheck: {{test: [CMD, "true"], interval: 10s}}
"""


def memory(pid):
    """Resident and proportional kilobytes of a process (proc_pid_smaps(5))."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    values = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return values["Rss"], values["Pss"]


def processor_s(pid):
    """Seconds that it has taken, and those of the children it has waited for."""
    fields = [int(value) for value in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]]
    return sum(fields[:2]) / 100, sum(fields[2:]) / 100


def measure(settings):
    """Figures of a core whose stack runs."""
    monitors = [memory(int(file.read_text())) for file in settings.run_root.glob("containers/*/conmon.pid")]
    supervisor = client.holder(settings)[0].pid
    time.sleep(_SPAN_S / 3)  # its first checks of all containers at once are over
    before, began = processor_s(supervisor), time.monotonic()
    time.sleep(_SPAN_S)
    span, after = (time.monotonic() - began) / 100, processor_s(supervisor)
    resident, proportional = memory(supervisor)
    return {
        "monitor_rss_mb": [statistics.median(item[0] for item in monitors) / 1024],
        "monitor_pss_mb": [statistics.median(item[1] for item in monitors) / 1024],
        "supervisor_rss_mb": [resident / 1024],
        "supervisor_pss_mb": [proportional / 1024],
        "supervisor_percent": [(after[0] - before[0]) / span],
        "checks_percent": [(after[1] - before[1]) / span],
    }
