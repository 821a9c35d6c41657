"""Which tests must not run beside each other when several processes share them (`./run test` starts two).

A group runs in one process, one test after the other. It is a directory, as its tests share address pools and ports
of the host; directories that share them with each other are one group.
"""

from pathlib import Path

import pytest

TOP = Path(__file__).parent
TOGETHER = (
    # The engines of tests are started once for a run and bind ports of the host; the address pool 10.209.0.0/16.
    ("contract", "integration/engines", "integration/swarm", "integration/verbs"),
    ("integration/builds", "integration/supervisor"),  # the address pool 10.213.0.0/16
)


def group_of(path):
    """The group of a test's file."""
    folder = path.relative_to(TOP).parts[:-1]
    name = "/".join(folder[: 2 if folder[:1] == ("integration",) else 1])
    return next((names[0] for names in TOGETHER if name in names), name)


def mark(items):
    """Give each its group, as pytest-xdist reads it."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item.path)))
