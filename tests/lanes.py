"""Which tests must not run beside each other when several processes share them (`./run test` starts two).

A group runs in one process, one test after the other. It is a directory, as its tests share address pools and ports
of the host; directories that share them with each other are one group.
"""

from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

TOGETHER = (
    # The engines of tests are started once for a run and bind ports of the host; the address pool 10.209.0.0/16.
    ("contract", "integration/engines", "integration/swarm", "integration/verbs"),
    ("integration/builds", "integration/supervisor"),  # the address pool 10.213.0.0/16
)

SLOW = ("contract", "integration/pulumi", "faults", "property", "integration/provider")
"""Minutes each, of few tests: begun last, one process would be left alone with them."""


def group_of(nodeid):
    """The group of a test, by the path of its file below this directory."""
    folder = PurePosixPath(nodeid.partition("::")[0].removeprefix("tests/")).parts[:-1]
    name = "/".join(folder[: 2 if folder[:1] == ("integration",) else 1])
    return next((names[0] for names in TOGETHER if name in names), name)


class Lanes(LoadScopeScheduling):
    """Gives each process a whole group at a time: the slow ones first, then those with the most tests."""

    def _split_scope(self, nodeid):
        return group_of(nodeid)

    def _assign_work_unit(self, node):
        slow = next((name for name in SLOW if name in self.workqueue), None)
        if slow:
            self.workqueue.move_to_end(slow, last=False)
        super()._assign_work_unit(node)
