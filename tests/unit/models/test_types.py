from datetime import timedelta

import pytest
from pydantic import ValidationError

from bayplan.models import RESOURCE_MODELS, ByteSize, Change, Container, Duration, ImageReference, Network, change_of


@pytest.mark.parametrize(
    ("text", "seconds", "shown"),
    [("1m30s", 90, "1m30s"), ("1.5s", 1.5, "1.5s"), ("100ms", 0.1, "0.1s"), ("2h", 7200, "2h"), ("0", 0, "0s")],
)
def test_duration_reads_and_shows(text, seconds, shown):
    value = Duration.parse(text)
    assert value == timedelta(seconds=seconds)
    assert str(value) == shown
    assert Duration.parse(str(value)) == value


@pytest.mark.parametrize("text", ["30", "", "s", "1x", "-1s", "1 s", 30, None])
def test_duration_needs_a_unit(text):
    with pytest.raises(ValueError, match="not a duration"):
        Duration.parse(text)


@pytest.mark.parametrize("text", ["99999999999h", "9" * 400 + "s"])
def test_a_duration_beyond_all_time_is_refused(text):
    with pytest.raises(ValidationError, match="too long"):
        Container(name="a", image="b", stop_grace_period=text)


@pytest.mark.parametrize(
    ("value", "size", "shown"),
    [("512m", 512 << 20, "512MiB"), ("1.5GiB", 3 << 29, "1536MiB"), ("1kb", 1024, "1KiB"), (7, 7, "7B")],
)
def test_sizes_are_1024_based(value, size, shown):
    assert ByteSize.parse(value) == size
    assert str(ByteSize.parse(value)) == shown


@pytest.mark.parametrize("value", ["12q", "", "-1", True, 1.5])
def test_bad_sizes_are_refused(value):
    with pytest.raises(ValueError, match="not a size"):
        ByteSize.parse(value)


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("team/app", "docker.io/team/app:latest"),
        ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
        ("ghcr.io/x/y@sha256:" + "a" * 64, "ghcr.io/x/y@sha256:" + "a" * 64),
        ("index.docker.io/library/redis:7", "docker.io/library/redis:7"),
    ],
)
def test_references(text, full):
    assert str(ImageReference.parse(text)) == full
    assert ImageReference.parse(full) == ImageReference.parse(text)


@pytest.mark.parametrize("text", ["", "Nginx", "a b", "nginx:", "nginx@sha256:12", "../etc", "a//b", "-x", "nginx:-t"])
def test_bad_references_are_refused(text):
    with pytest.raises(ValueError, match="image"):
        ImageReference.parse(text)


@pytest.mark.parametrize("model", RESOURCE_MODELS.values())
def test_every_field_says_how_it_changes_and_what_it_is(model):
    for name, info in model.model_fields.items():
        assert info.description, name
        if name != "name":
            assert isinstance(change_of(info), Change)


def test_models_survive_json():
    container = Container(
        name="web",
        image="nginx",
        ports=[{"target": 80, "published": 8080}],
        mounts=[{"type": "volume", "source": "data", "target": "/x//y/"}],
        healthcheck={"test": ["CMD", "true"], "interval": "1m30s"},
        resources={"memory": "512m"},
    )
    assert container.mounts[0].target == "/x/y"
    assert Container.model_validate_json(container.model_dump_json()) == container


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        (Network, {"name": "n", "gateway": "10.0.0.1"}, "need a subnet"),
        (Network, {"name": "n", "subnet": "10.0.0.0/24", "gateway": "10.1.0.1"}, "is not in subnet"),
        (Container, {"name": "../x", "image": "a"}, "pattern"),
        (Container, {"name": "x", "image": "a", "cap_add": ["NOPE"]}, "unknown capability"),
        (Container, {"name": "x", "image": "a", "working_dir": "rel"}, "must be absolute"),
        (Container, {"name": "x", "image": "a", "network_mode": "host", "networks": [{"network": "n"}]}, "exclude"),
        (Container, {"name": "x", "image": "a", "healthcheck": {"test": ["true"]}}, "must start with"),
        (Container, {"name": "x", "image": "a", "colour": "red"}, "colour"),
    ],
)
def test_wrong_values_are_refused(model, values, message):
    with pytest.raises(ValidationError, match=message):
        model.model_validate(values)
