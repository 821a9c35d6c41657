"""What each host of the fleet has at the end, looked at over SSH."""

STATE = "/var/lib/bayplan"


def test_the_core_is_the_hosts_own(host):
    assert host.file("/opt/bayplan/bin/bayplan").is_file
    assert host.package("crun").is_installed
    assert 'address_pool = "10.219.0.0/16"' in host.file("/etc/bayplan/config.toml").content_string
    assert "table inet bayplan" in host.check_output("nft list tables")
    assert "10.219." in host.check_output("ip -o -4 address show")


def test_the_container_runs_in_it_within_its_limit(host):
    assert "version 3" in host.check_output("cat /proc/$(pgrep -f '[h]ttpd -f')/root/page/index.html")
    found = host.check_output(
        "cat /sys/fs/cgroup/memory/bayplan/*/memory.limit_in_bytes || cat /sys/fs/cgroup/bayplan/*/memory.max"
    )
    assert str(32 << 20) in found.split()


def test_nothing_is_left_of_the_installation(host):
    assert not host.file("/opt/bayplan/wheels").exists
    assert host.check_output("ls /opt/bayplan | grep -c ^bayplan-") == "1"
