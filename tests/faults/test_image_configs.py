"""Attacks: configurations of images made to harm. Each is either refused with a message that says what is wrong, or run
in a container that can then be stopped and removed."""

import pytest

from faults.core import Core, add_image

pytestmark = pytest.mark.host
STACK = """\
name: bad
services:
  app:
    image: lab/bad
    network_mode: none
    pull_policy: never
    stop_grace_period: 50ms
"""
CHECK = ["CMD", "true"]
REFUSED = [
    *[({"Healthcheck": {"Test": test}}, "health check of its image") for test in (["CMD"], "x", ["FOO", "x"], [1, 2])],
    *[
        ({"Healthcheck": {"Test": CHECK, name: value}}, "health check of its image")
        for name, value in (
            *(("Interval", 1), ("Interval", "abc"), ("Interval", 10**30), ("Interval", -5)),
            *(("Timeout", [1]), ("Retries", -1), ("Retries", "x")),
        )
    ],
    *[({"Healthcheck": value}, "Healthcheck is no object") for value in ("x", [1])],
    *[({"WorkingDir": value}, "WorkingDir is no text") for value in ("a\0b", 5)],
    ({"User": "a\nb"}, "is not in the image's /etc/passwd"),
    ({"User": "\u00b2"}, "is not in the image's /etc/passwd"),
    ({"User": "9" * 5000}, "is no user or group number"),
    ({"User": "0:0:0"}, "is not in the image's /etc/group"),
    ({"User": {"x": 1}}, "User is no text"),
    *[({"Env": value}, "Env is no list of texts") for value in (["A\0=b"], [1], 5)],
    *[({"Entrypoint": value}, "Entrypoint is no list") for value in ([1], ["\0"])],
    *[({"Volumes": value}, "a volume that cannot be") for value in ({"..": {}}, {"/proc": {}}, {"x": {}})],
    ({"Volumes": 5}, "Volumes is no list"),
    ({"Labels": ["x"]}, "Labels is no object"),
    ({"ExposedPorts": 5}, "ExposedPorts is no list"),
    ({"Entrypoint": ["\x1b]0;x\x07"]}, "not found"),
    ({"WorkingDir": "/proc/self/fd/7"}, "chdir"),
]
RUN = [
    *[{"WorkingDir": value} for value in ("app", "../../..", "/a/../../../etc", "/a\nb")],
    *[{"Env": value} for value in (["NOEQUALS"], ["=x"], ["A=\x1b]0;x\x07"], "A=b")],
    {"Labels": {"a": 1}},
    {"StopSignal": "BOGUS"},
    {"ExposedPorts": {"x": {}}},
    {"Healthcheck": {"Test": ["NONE"]}},
]


@pytest.fixture
def tried(tmp_path):
    (tmp_path / "compose.yaml").write_text(STACK)
    core = Core(tmp_path / "compose.yaml")

    def run(config):
        add_image(core.settings.state_root / "images", "lab/bad", **{"Cmd": ["sleep", "60"], **config})
        process = core.start("apply")
        code = process.wait()
        text = process.output.read_text()
        assert "Traceback" not in text
        assert "errors.pydantic.dev" not in text
        assert "\x1b" not in text
        core.call("destroy", "--volumes")
        assert core.left() == []
        return code, text

    yield run
    core.remove()


@pytest.mark.parametrize(("config", "said"), REFUSED)
def test_what_cannot_be_is_refused_with_a_message(tried, config, said):
    code, text = tried(config)
    assert code in (1, 2)
    assert said in text


@pytest.mark.parametrize("config", RUN)
def test_what_is_only_odd_is_run_and_removed(tried, config):
    code, text = tried(config)
    assert code == 0, text
