"""At the end of a run it is told which engines ran under the contract, and which were skipped and why.

What is counted comes with the reports of tests, in whichever process they ran.
"""

from collections import Counter

KINDS = ("fake", "native", "docker", "podman")
FOLDER = "tests/contract/"
VERSION = "engine version"
ran = {kind: Counter() for kind in KINDS}
versions = {}


def pytest_runtest_logreport(report):
    """Count one that is of the contract."""
    kind = next((kind for kind in KINDS if f"[{kind}" in report.nodeid), None)
    if kind is None or FOLDER not in report.nodeid:
        return
    for name, value in report.user_properties:
        if name == VERSION:
            versions[kind] = value
    if report.when == "call" or report.outcome != "passed":
        ran[kind][report.outcome] += 1
        if report.skipped and isinstance(report.longrepr, tuple):
            ran[kind][f"why: {report.longrepr[2].removeprefix('Skipped: ')}"] += 1


def pytest_terminal_summary(terminalreporter):
    """A line for each engine."""
    if not any(ran.values()):
        return
    terminalreporter.section("engines under the contract")
    for kind, counts in ran.items():
        whys = [name.removeprefix("why: ") for name in counts if name.startswith("why: ")]
        told = ", ".join(f"{counts[name]} {name}" for name in ("passed", "failed", "skipped") if counts[name])
        version = f" {versions[kind]}" if kind in versions else ""
        why = f" ({'; '.join(whys)})" if whys else ""
        terminalreporter.write_line(f"{kind}{version}: {told or 'no test asked for it'}{why}")
