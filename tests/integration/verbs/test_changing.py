"""create, update, port, ps with filters and templates, and archives by the service's name, on the real core."""

import os
import tarfile

import pytest

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def edit(bayplan, old, new):
    text = bayplan.file.read_text()
    assert old in text
    bayplan.file.write_text(text.replace(old, new))


def steps(bayplan):
    return [(item["action"], item["resource"]["name"]) for item in bayplan("plan", "--json")["steps"]]


def test_create_starts_nothing_and_leaves_what_runs(bayplan):
    bayplan("create")
    assert bayplan.states() == {"app": "created", "base": "created"}
    assert "Nothing to do" in bayplan("create")
    bayplan("start", "base")
    pid = bayplan.status("bpv-base-1")["pid"]
    edit(bayplan, "    depends_on: [base]\n", "    depends_on: [base]\n    environment: {A: b}\n")
    bayplan("create")
    assert bayplan.states() == {"app": "created", "base": "running"}
    assert bayplan.status("bpv-base-1")["pid"] == pid
    assert steps(bayplan) == [("start", "bpv-app-1")]
    bayplan("apply")
    assert bayplan("exec", "app", "sh", "-c", "echo $A") == "b\n"


def limit(bayplan, field):
    return bayplan("inspect", "app", "--format", f"{{{{.HostConfig.{field}}}}}").strip()


def test_update_changes_what_runs_and_a_plan_takes_it_back(bayplan):
    bayplan("apply")
    pid = bayplan.status("bpv-app-1")["pid"]
    assert bayplan("update", "--memory", "64m", "--pids-limit", "50", "--restart", "on-failure:3", "app")
    assert (limit(bayplan, "Memory"), limit(bayplan, "PidsLimit")) == (str(64 << 20), "50")
    assert limit(bayplan, "RestartPolicy.MaximumRetryCount") == "3"
    assert bayplan.status("bpv-app-1")["pid"] == pid
    assert steps(bayplan) == [("update", "bpv-app-1")]
    bayplan("update", "--pids-limit", "0", "app")
    assert (limit(bayplan, "Memory"), limit(bayplan, "PidsLimit")) == (str(64 << 20), "-1")
    bayplan("apply")
    assert (limit(bayplan, "Memory"), bayplan.status("bpv-app-1")["pid"]) == ("0", pid)
    assert "Nothing to do" in bayplan("plan")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "changes nothing"),
        (("--memory", "lots"), "memory"),
        (("--memory", "64m", "--memory-swap", "32m"), "cannot be less than memory"),
        (("--cpus", "1000"), "this host has"),
        (("--restart", "sometimes"), "condition"),
        (("--restart", "on-failure:x"), "max_retries"),
    ],
)
def test_updates_that_are_refused_change_nothing(bayplan, options, said):
    bayplan("create")
    assert said in bayplan("update", *options, "app", "base", code=2)
    assert (limit(bayplan, "Memory"), limit(bayplan, "RestartPolicy.Name")) == ("0", "no")


def test_update_of_a_stopped_one_counts_from_its_next_start(bayplan):
    bayplan("create")
    bayplan("update", "--cpus", "0.5", "app")
    assert limit(bayplan, "NanoCpus") == "500000000"
    bayplan("start", "app")
    quota = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cat /sys/fs/cgroup/cpu.max"
    assert bayplan("exec", "app", "sh", "-c", quota).split()[0] == "50000"


def test_ports_as_they_are(bayplan):
    edit(
        bayplan,
        "    depends_on: [base]\n",
        "    depends_on: [base]\n    ports: ['127.0.0.1::80', '127.0.0.1::53/udp']\n",
    )
    bayplan("apply")
    lines = bayplan("port", "app").splitlines()
    assert [line.split(":")[0] for line in lines] == ["53/udp -> 127.0.0.1", "80/tcp -> 127.0.0.1"]
    assert bayplan("port", "app", "53/udp").strip() == lines[0].split()[-1]
    assert bayplan("port", "app", "80").strip() == lines[1].split()[-1]
    assert "publishes no port 53/tcp" in bayplan("port", "app", "53", code=2)
    assert bayplan("ps", "-q", "--filter", f"publish={lines[0].rpartition(':')[2]}").strip()


def test_lists_with_filters_and_templates(bayplan):
    bayplan("apply")
    bayplan("kill", "app")
    names = ("ps", "-a", "--format", "{{.Name}}")
    assert bayplan(*names).split() == ["bpv-app-1", "bpv-base-1"]
    assert bayplan("ps", "--format", "{{.Name}} {{.State}}") == "bpv-base-1 running\n"
    for text, expected in (
        ("status=exited", ["bpv-app-1"]),
        ("exited=137", ["bpv-app-1"]),
        ("service=base", ["bpv-base-1"]),
        ("name=app", ["bpv-app-1"]),
        ("label=com.docker.compose.service=base", ["bpv-base-1"]),
        ("label=nothing", []),
        ("ancestor=lab/busybox", ["bpv-app-1", "bpv-base-1"]),
        ("network=bpv_default", ["bpv-app-1", "bpv-base-1"]),
        ("volume=none", []),
        ("health=healthy", []),
    ):
        assert bayplan(*names, "--filter", text).split() == expected, text
    assert bayplan("ps", "-q", "--filter", "status=exited").strip() == bayplan.status("bpv-app-1")["id"]
    assert bayplan("ps", "-a", "--services") == "app\nbase\n"
    assert bayplan("ps", "--format", "{{json .Labels}}").startswith('{"')
    assert "is none" in bayplan("ps", "--filter", "colour=red", code=2)
    assert "there is no Nothing" in bayplan("inspect", "base", "--format", "{{.Nothing}}", code=2)
    happened = ("events", "--since", "10m", "--until", "0s", "--json")
    found = bayplan.lines(
        *happened, "--filter", "event=kill", "--filter", "event=die", "--filter", "container=bpv-app-1"
    )
    assert [item["action"] for item in found] == ["kill", "die"]
    assert "is none" in bayplan(*happened, "--filter", "colour=red", code=2)["error"]


def test_the_file_system_of_a_service_s_container(bayplan, tmp_path):
    bayplan("apply")
    bayplan("exec", "app", "sh", "-c", "echo made > /made")
    assert "A /made" in bayplan("diff", "app").splitlines()
    bayplan("export", "-o", str(tmp_path / "out.tar"), "app")
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert archive.extractfile("made").read() == b"made\n"
    bayplan("commit", "app", "lab/made", "-m", "by hand")
    edit(
        bayplan, 'lab/busybox\n    command: [sh, -c, \'trap "exit 6"', 'lab/made\n    command: [sh, -c, \'trap "exit 6"'
    )
    bayplan("apply")
    assert bayplan("exec", "base", "cat", "/made") == "made\n"
