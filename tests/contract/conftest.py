"""One host for each engine; which of them ran is told at the end (tests/told.py).

``host`` is every engine, ``real_host`` those that really run something, ``engine_host`` those that are services.
"""

import contextlib
import secrets
import shutil
from pathlib import Path

import pytest

import engines
from contract.hosts import Host, is_root, joined
from told import KINDS, VERSION

SERVICES = KINDS[2:]


def why_not(kind):
    """Why an engine cannot run here; empty when it can."""
    if kind == "fake":
        return ""
    if kind == "native":
        return "" if is_root() else "needs root"
    return engines.why_not(kind)


def pytest_generate_tests(metafunc):
    names = metafunc.fixturenames
    if "host" in names:
        # Where engines of other versions are tried, the rest is as it was.
        of_engines = "engine_host" in names or engines.OTHER
        kinds = SERVICES if of_engines else KINDS[1:] if "real_host" in names else KINDS
        marked = [pytest.param(kind, marks=[pytest.mark.host] * (kind != "fake"), id=kind) for kind in kinds]
        metafunc.parametrize("host", marked, indirect=True)


@pytest.fixture(scope="session")
def service():
    """Gives the service of an engine, started at its first use, for the whole run."""
    made, root = {}, Path("/var/lib/bayplan-tests") / secrets.token_hex(4)

    def get(kind):
        if kind not in made:
            root.mkdir(parents=True, exist_ok=True)
            manager = engines.serve(kind, root)
            made[kind] = (manager, manager.__enter__())
        return made[kind][1]

    yield get
    for manager, _ in made.values():
        manager.__exit__(None, None, None)
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def host(request, service, tmp_path):
    kind = request.param
    reason = why_not(kind)
    if reason:
        pytest.skip(f"{kind}: {reason}")
    engine = service(kind) if kind in engines.ENGINES else None
    root = tmp_path if kind == "fake" else Path("/var/lib/bayplan-tests") / secrets.token_hex(4)
    root.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        stack.enter_context(joined(engine))
        made = Host(kind, root, engine)
        stack.callback(made.clean)
        request.node.user_properties.append((VERSION, made.runtime.facts().version))
        if kind == "native":
            archive = root / "busybox.tar"
            archive.write_bytes(engines.busybox_archive())
            made.runtime.image_verbs.load(archive)
        yield made


@pytest.fixture
def real_host(host):
    """Every engine but the one in memory."""
    return host


@pytest.fixture
def engine_host(host):
    """Docker and Podman."""
    return host
