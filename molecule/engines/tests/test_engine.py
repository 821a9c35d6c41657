"""What an engine has after converge and the changes, seen from the processes of its containers."""


def test_network(host):
    (process,) = host.process.filter(args="sleep 3600")
    assert " 10.217.7." in host.check_output(f"nsenter -t {process.pid} -n ip -o -4 address")


def test_container_and_volume(host):
    (process,) = host.process.filter(args="sleep 3600")
    assert host.file(f"/proc/{process.pid}/root/data/up").content_string == "up\n"
    mounts = host.file(f"/proc/{process.pid}/mounts").content_string.splitlines()
    assert "/data" in [line.split()[1] for line in mounts]


def test_project(host):
    assert len(host.process.filter(args="sleep 3602")) == 1
    assert not host.process.filter(args="sleep 3601")
