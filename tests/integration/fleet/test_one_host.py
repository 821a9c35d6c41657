"""One host of molecule/fleet, bare at first: the role makes it ready, upgrades it, takes itself away."""

import os
import secrets
import shutil

import pytest

from managed import FLEET, Managed, source

pytestmark = [
    pytest.mark.host,
    pytest.mark.fleet,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not shutil.which("mmdebstrap") or not shutil.which("ssh"), reason="needs mmdebstrap and ssh"),
]

INSTALL = "bayplan.containers.install"
# As on a host that has just booted: the lists are fetched, then packages are upgraded.
APT_AT_WORK = """
import fcntl, time
lists, packages = open("/var/lib/apt/lists/lock", "w"), open("/var/lib/dpkg/lock-frontend", "w")
for file in (lists, packages):
    fcntl.lockf(file, fcntl.LOCK_EX)
time.sleep(20)
lists.close()
time.sleep(20)
"""


class Fleet(Managed):
    """A container of this machine's core as the host, with a core of its own."""

    def __init__(self, directory, distribution):
        tag = secrets.token_hex(2)
        address = f"10.{100 + secrets.randbelow(20)}.{secrets.randbelow(200)}.11"
        settings = {
            "state_root": f"/var/lib/bayplan-tests/{tag}",
            "run_root": f"/run/bayplan-tests/{tag}",
            "address_pool": "10.213.0.0/16",
            "interface_prefix": f"f{tag[:3]}",
            "nft_table": f"bayplan_test_{tag}",
            "cgroup_parent": f"/bayplan-test-{tag}",
        }
        variables = {
            "fleet_directory": str(directory),
            "fleet_distribution": distribution,
            "fleet_addresses": {"one": address},
            "fleet_subnet": f"{address.rpartition('.')[0]}.0/24",
            "fleet_settings": settings,
        }
        self.distribution = distribution
        super().__init__(directory, address, variables)


@pytest.fixture(params=["debian", "ubuntu"])
def fleet(request, tmp_path):
    made = Fleet(tmp_path, request.param)
    try:
        made.play(FLEET / "create.yml")
        yield made
    finally:
        made.play(FLEET / "destroy.yml")


def without_universe(fleet):
    """A host of Ubuntu with main alone is told what it lacks, and gets nothing; Debian has no such component."""
    if fleet.distribution == "ubuntu":
        fleet.ssh("cp /etc/apt/sources.list /srv/ && sed -i /universe/d /etc/apt/sources.list")
        said, _ = fleet.play(INSTALL, code=2)
        assert "add-apt-repository universe" in said
        assert "Unable to locate package crun" in said
        fleet.ssh("! command -v nft && mv /srv/sources.list /etc/apt/")


def containers(fleet):
    """Processes of the host's containers, and of their monitors."""
    found = fleet.ssh("pgrep -x conmon; pgrep -f '[h]ttpd -f'").split()
    assert len(found) >= 2
    return found


def test_from_bare_to_ready_upgraded_and_bare_again(fleet, tmp_path):
    first, second = source(tmp_path, "0.1.1"), source(tmp_path, "0.1.2")
    settings = {"address_pool": "10.212.0.0/16"}

    said, foretold = fleet.play(INSTALL, "--check", bayplan_package=str(first), bayplan_config=settings)
    assert foretold
    assert "crun" in said
    fleet.ssh("! command -v crun && ! test -e /opt/bayplan && ! test -e /etc/bayplan")
    without_universe(fleet)
    fleet.ssh(f"nohup python3 -c '{APT_AT_WORK}' > /dev/null 2>&1 &")
    fleet.play(INSTALL, bayplan_package=str(first), bayplan_config=settings)
    assert fleet.play(INSTALL, bayplan_package=str(first), bayplan_config=settings)[1] == 0
    assert fleet.ssh("/opt/bayplan/bin/bayplan --version") == "bayplan 0.1.1\n"

    fleet.play(FLEET / "stack.yml")
    assert fleet.play(FLEET / "stack.yml")[1] == 0
    before = containers(fleet)
    assert fleet.play(INSTALL, "--check", bayplan_package=str(second))[1]
    fleet.play(INSTALL, bayplan_package=str(second))
    assert fleet.play(INSTALL, bayplan_package=str(second))[1] == 0
    assert fleet.ssh("/opt/bayplan/bin/bayplan --version") == "bayplan 0.1.2\n"
    assert containers(fleet) == before
    assert fleet.play(FLEET / "stack.yml")[1] == 0, "the newer version sees nothing to do"

    # A bad update goes back by itself; a good one by hand.
    update = {"project_src": "/srv/web", "bayplan_probe": "http://127.0.0.1/"}
    bad = {"env": {"VERSION": "3", "BROKEN": "yes"}}
    said, _ = fleet.play("bayplan.containers.rolling_update", code=2, **update, **bad)
    assert "It is not as it should be" in said
    assert "version 1" in page(fleet)
    fleet.play("bayplan.containers.rolling_update", **update, env={"VERSION": "2"})
    assert "version 2" in page(fleet)
    assert fleet.play("bayplan.containers.rollback", "--check", project_name="web")[1]
    fleet.play("bayplan.containers.rollback", project_name="web")
    assert "version 1" in page(fleet)

    assert "No drift" not in fleet.play("bayplan.containers.drift", project_name="web")[0]
    fleet.ssh("/opt/bayplan/bin/bayplan -p web stop front")
    assert "web has drifted on one" in fleet.play("bayplan.containers.drift", code=2, project_name="web")[0]
    assert fleet.play("bayplan.containers.drift", project_name="web", heal=True)[1]
    assert "version 1" in page(fleet)

    said, _ = fleet.play(INSTALL, code=2, bayplan_state="absent")
    assert "still has 1 containers" in said
    fleet.play(FLEET / "cleanup.yml")


def page(fleet):
    """What the host answers."""
    return fleet.ssh("cat /proc/$(pgrep -f '[h]ttpd -f')/root/page/index.html")
