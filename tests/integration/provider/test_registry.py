"""Images of a registry that wants credentials: pulled, pushed and asked about."""

import contextlib
import json

import pytest
import urllib3

from bayplan.pulumi.values import Secret
from integration.images.conftest import serve
from plugin import CallError, kinds, plugin

pytestmark = pytest.mark.host
LOCKED = "auth: {{htpasswd: {{realm: tests, path: {}}}}}\n"


@pytest.fixture
def registry(core, monkeypatch):
    """Knows one user, ``user`` with the password ``not-so-secret``, who may delete."""
    monkeypatch.setenv("REGISTRY_STORAGE_DELETE_ENABLED", "true")
    (core.state / "htpasswd").write_text("user:$2b$04$OhagQDV4Mse73AwwQRTGcexDgt7BqnQHVvZmg.9OWaIrSLGMAapuO\n")
    with contextlib.contextmanager(serve)(core.state, LOCKED.format(core.state / "htpasswd")) as host:
        conf = core.state / "registries.conf"
        conf.write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
        core.configuration["registriesConf"] = json.dumps([str(conf)])
        yield host


def test_push_pull_and_ask(core, registry):
    name = f"{registry}/team/web:1"
    with plugin(core.configuration) as stranger:
        inputs = stranger.checked("RegistryImage", {"name": name, "source": "lab/busybox"})
        with pytest.raises(CallError, match=r"(?i)credentials|refuse|denied|unauthorized"):
            stranger.create("RegistryImage", inputs)
    known = [{"registry": registry, "username": "user", "password": "not-so-secret"}]
    with plugin({**core.configuration, "registries": Secret(json.dumps(known))}) as pulumi:
        id_, pushed = pulumi.create("RegistryImage", inputs)
        assert (id_, pushed["reference"]) == (name, f"{name}@{pushed['digest']}")
        assert pulumi.diff("RegistryImage", id_, inputs, pushed, inputs).changes == 1
        assert pulumi.read("RegistryImage", id_, inputs, pushed)[1] == pushed
        asked, _ = pulumi.invoke("getImageDigest", {"name": name})
        assert (asked["digest"], asked["reference"]) == (pushed["digest"], pushed["reference"])
        image = pulumi.checked("Image", {"name": name, "pull": "always"})
        _, pulled = pulumi.create("Image", image)
        assert pulled["digest"] == pushed["digest"]
        other, state = _rebuilt(pulumi, core)
        moved = {**inputs, "source": state["reference"]}
        assert kinds(pulumi.diff("RegistryImage", id_, inputs, pushed, moved)) == {"source": "update"}
        again = pulumi.update("RegistryImage", id_, inputs, pushed, moved)
        assert again["digest"] == state["digest"] != pushed["digest"]
        pulumi.delete("Image", name)
        found = pulumi.diff("Image", name, image, pulled, image)  # as if it were still wanted
        assert kinds(found) == {"digest": "update"}
        for one in (name, other):
            pulumi.delete("Image", one)
        with plugin(core.configuration) as stranger, pytest.raises(CallError, match="access is denied"):
            stranger.delete("RegistryImage", id_, {**again, "keepRemotely": False})
        assert pulumi.read("RegistryImage", id_, inputs, again) is not None
        pulumi.delete("RegistryImage", id_, {**again, "keepRemotely": False})
        assert pulumi.read("RegistryImage", id_, inputs, again) is None
    assert pulumi.process.returncode == 0


def _served(core, host):
    conf = core.state / "registries.conf"
    conf.write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
    return plugin({**core.configuration, "registriesConf": json.dumps([str(conf)])})


def test_what_is_not_to_be_kept_is_deleted_there_and_nothing_else(core, monkeypatch):
    monkeypatch.setenv("REGISTRY_STORAGE_DELETE_ENABLED", "true")
    with contextlib.contextmanager(serve)(core.state) as host, _served(core, host) as pulumi:
        name = f"{host}/team/web:1"
        inputs = pulumi.checked("RegistryImage", {"name": name, "source": "lab/busybox", "keepRemotely": False})
        id_, first = pulumi.create("RegistryImage", inputs)
        many = _listed(host, "team/web", "many", first["digest"])
        pulumi.delete("RegistryImage", many["name"], many)  # of an index the image is a part
        assert pulumi.read("RegistryImage", many["name"]) is None
        assert pulumi.read("RegistryImage", id_, inputs, first)[1] == first
        kept = pulumi.checked("RegistryImage", {"name": f"{host}/team/kept:1", "source": "lab/busybox"})
        kept_id, kept_state = pulumi.create("RegistryImage", kept)
        _, other = _rebuilt(pulumi, core)
        second = pulumi.update("RegistryImage", id_, inputs, first, {**inputs, "source": other["reference"]})
        pulumi.delete("RegistryImage", id_, first)  # the name means another image by now
        assert pulumi.read("RegistryImage", id_, inputs, second)[1]["digest"] == other["digest"]
        for _ in range(2):  # gone already is no error
            pulumi.delete("RegistryImage", id_, second)
            assert pulumi.read("RegistryImage", id_, inputs, second) is None
        pulumi.delete("RegistryImage", kept_id, kept_state)
        assert pulumi.read("RegistryImage", kept_id, kept, kept_state)[1] == kept_state


def _listed(host, repository, tag, digest):
    """Properties of an image whose name means an index with it."""
    url, kind = f"http://{host}/v2/{repository}/manifests", "application/vnd.oci.image.index.v1+json"
    size = len(urllib3.request("GET", f"{url}/{digest}", headers={"Accept": "*/*"}).data)
    platform = {"os": "linux", "architecture": "amd64"}
    part = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size}
    index = {"schemaVersion": 2, "mediaType": kind, "manifests": [{**part, "platform": platform}]}
    made = urllib3.request("PUT", f"{url}/{tag}", body=json.dumps(index).encode(), headers={"Content-Type": kind})
    assert made.status == 201, made.data
    return {"name": f"{host}/{repository}:{tag}", "digest": digest, "keepRemotely": False}


def test_a_registry_that_deletes_nothing_says_so(core):
    with contextlib.contextmanager(serve)(core.state) as host, _served(core, host) as pulumi:
        name = f"{host}/team/web:1"
        inputs = pulumi.checked("RegistryImage", {"name": name, "source": "lab/busybox", "keepRemotely": False})
        id_, state = pulumi.create("RegistryImage", inputs)
        with pytest.raises(CallError) as refused:
            pulumi.delete("RegistryImage", id_, state)
        said = f"image {name} is not deleted: the registry refused it with 405: UNSUPPORTED"
        assert said in refused.value.text
        assert "storage.delete.enabled" in refused.value.text
        pulumi.delete("RegistryImage", id_, {**state, "keepRemotely": True})


def _rebuilt(pulumi, core):
    context = core.state / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM lab/busybox\nLABEL other=1\n")
    inputs = pulumi.checked("Image", {"name": "team/other", "build": {"context": str(context)}})
    return pulumi.create("Image", inputs)
