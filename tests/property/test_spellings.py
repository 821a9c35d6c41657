"""What means the same in a Compose file is no change: whichever way one wrote it first, and another then."""

import hashlib
import tempfile
from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.load.compose import load_text
from bayplan.models import ImageReference, Kind
from bayplan.reconcile.apply import apply_plan
from bayplan.reconcile.planner import make_plan
from bayplan.record.journal import Journal
from bayplan.runtime.fake import FakeRuntime

# Of a service: keys that each mean the same in every one of their spellings.
SPELLINGS = (
    (
        {"mem_limit": "64m"},
        {"mem_limit": 67108864},
        {"mem_limit": "65536kb"},
        {"mem_limit": "64MB"},
        {"deploy": {"resources": {"limits": {"memory": "64M"}}}},
    ),
    ({"cpus": 0.5}, {"cpus": "0.50"}),
    ({"shm_size": "2gb"}, {"shm_size": 2147483648}, {"shm_size": "2048m"}),
    ({"pids_limit": 10}, {"deploy": {"resources": {"limits": {"pids": 10}}}}),
    (
        {"environment": {"A": "1", "B": "x"}},
        {"environment": ["B=x", "A=1"]},
        {"environment": {"B": "x", "A": 1}},
    ),
    ({"labels": {"a": "1", "b": ""}}, {"labels": ["b=", "a=1"]}),
    (
        {"ports": ["127.0.0.1:8080-8081:80-81", "53:53/udp"]},
        {
            "ports": [
                {"target": 53, "published": "53", "protocol": "udp"},
                {"target": 81, "published": "8081", "host_ip": "127.0.0.1"},
                {"target": 80, "published": "8080", "host_ip": "127.0.0.1", "protocol": "tcp"},
            ]
        },
        {"ports": ["53:53/udp", "127.0.0.1:8081:81", "127.0.0.1:8080:80/tcp"]},
    ),
    (
        {"volumes": ["v1:/data:ro", "/srv:/srv"]},
        {
            "volumes": [
                {"type": "bind", "source": "/srv", "target": "/srv"},
                {"type": "volume", "source": "v1", "target": "/data", "read_only": True},
            ]
        },
        {"volumes": ["/srv/:/srv/:rw", "v1:/data/:ro"]},
    ),
    ({"tmpfs": "/run"}, {"tmpfs": ["/run"]}, {"volumes": [{"type": "tmpfs", "target": "/run"}]}),
    ({"networks": ["n1", "n2"]}, {"networks": {"n1": None, "n2": {}}}),  # their order says which is the way out
    ({"networks": {"n1": {"aliases": ["x", "y"]}}}, {"networks": {"n1": {"aliases": ["y", "x"]}}}),
    (
        {"image": "i1"},
        {"image": "i1:latest"},
        {"image": "docker.io/library/i1"},
        {"image": "docker.io/library/i1:latest"},
    ),
    ({"devices": ["/dev/null", "/dev/zero"]}, {"devices": ["/dev/zero", "/dev/null:/dev/null:rwm"]}),
    ({"command": "echo 'a b' c"}, {"command": ["echo", "a b", "c"]}),
    ({"entrypoint": "/bin/sh -c"}, {"entrypoint": ["/bin/sh", "-c"]}),
    (
        {"healthcheck": {"test": "true", "interval": "90s", "timeout": "1m"}},
        {"healthcheck": {"test": ["CMD-SHELL", "true"], "interval": "1m30s", "timeout": "60000ms"}},
    ),
    ({"stop_grace_period": "1m"}, {"stop_grace_period": "60s"}, {"stop_grace_period": "0h1m0s"}),
    ({"stop_signal": "SIGUSR1"}, {"stop_signal": "USR1"}),
    ({"restart": "on-failure:3"}, {"deploy": {"restart_policy": {"condition": "on-failure", "max_attempts": 3}}}),
    ({"init": False}, {"read_only": False}, {"privileged": False}, {}),
    ({"cap_add": ["NET_ADMIN", "SYS_TIME"]}, {"cap_add": ["CAP_SYS_TIME", "net_admin"]}),
    ({"extra_hosts": {"a": "10.0.0.1", "b": "10.0.0.2"}}, {"extra_hosts": ["b:10.0.0.2", "a=10.0.0.1"]}),
    ({"sysctls": {"net.core.somaxconn": 1024}}, {"sysctls": ["net.core.somaxconn=1024"]}),
    ({"ulimits": {"nofile": 64}}, {"ulimits": {"nofile": {"soft": 64, "hard": 64}}}),
    ({"dns": "10.0.0.1"}, {"dns": ["10.0.0.1"]}),
    ({"depends_on": ["other"]}, {"depends_on": {"other": {"condition": "service_started", "required": True}}}),
    ({"depends_on": ["other", "more"]}, {"depends_on": ["more", "other"]}),
    ({"user": "1000"}, {"user": 1000}),
)
TOP = {
    "services": {"other": {"image": "i2"}, "more": {"image": "i2"}},
    "networks": {"n1": {}, "n2": None},
    "volumes": {"v1": {"driver": "local"}},
}


def merged(parts):
    """One service of several parts; ``deploy`` and lists of mounts come from more than one of them."""
    found = {}
    for key, value in (pair for part in parts for pair in part.items()):
        known = found.get(key)
        if isinstance(known, dict):
            found[key] = merged([known, value])
        elif isinstance(known, list):
            found[key] = [*known, *value]
        else:
            found[key] = value
    return found


@st.composite
def two_texts(draw):
    """The same declaration twice, each key in a spelling of its own, in an order of its own."""
    numbers = st.sampled_from(range(len(SPELLINGS)))
    chosen = draw(st.lists(numbers, unique_by=lambda item: next(iter(SPELLINGS[item][0])), min_size=1, max_size=8))
    texts = []
    for _ in range(2):
        parts = [draw(st.sampled_from(SPELLINGS[item])) for item in draw(st.permutations(chosen))]
        services = {"a": {"image": "i1", **merged(parts)}, **TOP["services"]}
        document = {**TOP, "services": dict(draw(st.permutations(sorted(services.items()))))}
        texts.append(yaml.safe_dump(document, sort_keys=False))
    return texts


@given(two_texts())
@settings(max_examples=100, deadline=None)
def test_another_spelling_of_the_same_is_no_change(texts):
    first, second = (
        load_text(text, label="compose.yaml", project_directory=Path("/srv"), project_name="p") for text in texts
    )
    runtime = FakeRuntime()
    runtime.registry = {
        item.name: "sha256:" + hashlib.sha256(str(ImageReference.parse(item.name)).encode()).hexdigest()
        for stack in (first, second)
        for item in stack.images
    }
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "record.db")
        apply_plan(make_plan(first, runtime), runtime, journal).raise_failure()
        again = make_plan(second, runtime)
    # The engine in memory takes each name of an image as it is written, and would fetch another.
    steps = [step for step in again.steps if step.resource.kind is not Kind.IMAGE]
    assert [(str(step.resource), step.why, step.fields) for step in steps] == []
    assert [(str(note.resource), note.fields) for note in again.noted] == []
