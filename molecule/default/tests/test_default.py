"""What the machine has after converge."""

from pathlib import Path

STATE = Path("/var/lib/bayplan-molecule")


def test_network(host):
    assert "10.217.7.1/24" in host.check_output("ip -o -4 address show")
    assert "table inet bayplan_molecule" in host.check_output("nft list tables")


def test_container_and_volume(host):
    assert host.file(str(STATE / "volumes/data/_data/up")).content_string == "up\n"
    assert len(host.process.filter(args="sleep 3600")) == 1


def test_project(host):
    assert len(host.process.filter(args="sleep 3602")) == 1
