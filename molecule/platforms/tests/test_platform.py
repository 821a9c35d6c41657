"""What the role did, looked at from within the container."""


def test_the_file_is_the_containers_own(host):
    found = host.file("/etc/app.conf")
    assert (found.content_string.strip(), found.mode) == ("listen 80", 0o640)
    assert host.run("cat /proc/1/cmdline").stdout.startswith("sleep")
