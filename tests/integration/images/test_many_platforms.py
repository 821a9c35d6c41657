"""One build for several platforms: one name, an index, and all of it wherever the image goes."""

import json
import shutil
import subprocess

import pytest

from bayplan.models import ImageReference
from bayplan.runtime.native.images.build import platforms
from bayplan.runtime.native.images.store import ImageStore

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(platforms.host() != "linux/amd64", reason="the foreign platforms are arm64 and arm/v6"),
]
skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="package skopeo is not installed")
TEXT = "FROM --platform=$BUILDPLATFORM lab/busybox AS said\nARG TARGETPLATFORM\nRUN echo $TARGETPLATFORM > /for\n"
TEXT += "FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\nCOPY --from=said /for /\n"
ALL = "linux/arm64,linux/amd64,linux/arm/v6"


@pytest.fixture
def context(core):
    top = core.root / "context"
    top.mkdir()
    (top / "Dockerfile").write_text(TEXT)
    return top


@pytest.fixture
def built(core, context):
    core("build", "-t", "lab/many:1", "--platform", ALL, context)
    return context


def index(core, name="lab/many:1"):
    """The platforms that a name has, and their manifests."""
    store = ImageStore(core.state / "images")
    found = store.index(ImageReference.parse(name))
    rows = [(item["platform"], item["digest"]) for item in store.parts(found)]
    return {"/".join(row[key] for key in ("os", "architecture", "variant") if key in row): name for row, name in rows}


def test_a_name_has_all_and_stands_for_the_hosts(core, built):
    assert list(index(core)) == ALL.split(",")
    (found,) = core("image", "inspect", "--json", "lab/many:1")
    assert (found["Architecture"], found["Config"]["Labels"]) == ("amd64", {"arch": "amd64"})
    assert found["Digest"] == index(core)["linux/amd64"]
    assert [item["Descriptor"]["platform"]["architecture"] for item in found["Manifests"]] == ["arm64", "amd64", "arm"]
    (other,) = core("image", "inspect", "--json", index(core)["linux/arm64"])
    assert other["Config"]["Labels"] == {"arch": "arm64"}
    assert core("build", "-t", "lab/many:1", "--platform", ALL, built, "--json")["changed"] is False
    core("image", "prune")
    assert core("check") == core("check")
    assert list(index(core)) == ALL.split(",")


def test_a_change_makes_all_anew_and_a_further_platform_only_itself(core, built):
    first = index(core)
    core("build", "-t", "lab/many:1", "--platform", f"{ALL},linux/s390x", built)
    again = index(core)
    assert {name: again[name] for name in first} == first
    assert "linux/s390x" in again
    (built / "Dockerfile").write_text(TEXT + "LABEL more=1\n")
    core("build", "-t", "lab/many:1", "--platform", ALL, built)
    assert not set(index(core).values()) & set(again.values())


def test_a_container_of_it_is_of_the_hosts_platform(core, built):
    text = TEXT.replace("FROM scratch", "FROM --platform=linux/amd64 lab/busybox")
    (built / "Dockerfile").write_text(text)
    build = {"context": str(built), "platforms": ALL.split(",")}
    service = {"image": "lab/many:2", "build": build, "command": ["sleep", "60"], "network_mode": "none"}
    service["stop_signal"] = "KILL"
    file = core.root / "compose.yaml"
    file.write_text(json.dumps({"name": "bpi", "services": {"one": service}}))
    core("-f", file, "apply")
    assert "linux/amd64" in core("-f", file, "exec", "-T", "one", "cat", "/for")
    assert core("-f", file, "plan", "--json")["steps"] == []
    service["platform"] = "linux/s390x"
    file.write_text(json.dumps({"name": "bpi", "services": {"one": service}}))
    refused = core("-f", file, "plan", code=2)
    assert "wanted for linux/s390x, and built for linux/arm64, linux/amd64, linux/arm/v6" in refused
    service.pop("platform")
    file.write_text(json.dumps({"name": "bpi", "services": {"one": service}}))


@skopeo
def test_it_is_pushed_whole(core, registry, built):
    name = f"{registry}/team/many:1"
    core("image", "tag", "lab/many:1", name)
    (pushed,) = core("image", "push", "--json", name)
    argv = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"]
    sent = json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout)
    assert [item["digest"] for item in sent["manifests"]] == list(index(core).values())
    assert index(core, name) == index(core)
    layout = core.root / "all"
    argv = ["skopeo", "copy", "-q", "--insecure-policy", "--all", "--src-tls-verify=false"]
    subprocess.run([*argv, f"docker://{name}", f"oci:{layout}:docker.io/lab/back:1"], check=True, timeout=60)
    core("image", "load", "-i", layout)
    assert index(core, "lab/back:1") == index(core)
    assert pushed["digest"] == ImageStore(core.state / "images").index(ImageReference.parse("lab/back:1"))


@pytest.mark.parametrize("form", ["oci-archive", "oci-dir"])
def test_it_is_saved_and_loaded_whole(core, built, form):
    wanted = index(core)
    core("image", "save", "--format", form, "-o", core.root / "saved", "lab/many:1")
    core("image", "rm", "lab/many:1")
    assert not ImageStore(core.state / "images").blob(wanted["linux/arm64"]).exists()
    core("image", "load", "-i", core.root / "saved")
    assert index(core) == wanted
    assert core("image", "inspect", "--json", "lab/many:1")[0]["Architecture"] == "amd64"


def test_what_is_gone_of_another_platform_is_found(core, built):
    store = ImageStore(core.state / "images")
    layer = store.document(index(core)["linux/arm/v6"])["layers"][0]["digest"]
    store.blob(layer).unlink()
    assert f"blob {layer} is gone" in core("check", code=1)
    whole = store.index(ImageReference.parse("lab/many:1"))
    store.blob(whole).write_text("{}")
    assert "was changed" in core("check", code=1)
    busybox = core("image", "ls", "--json")[0]["id"]
    assert core("image", "inspect", "--json", busybox)[0]["Id"] == busybox


def test_a_platform_that_is_none_is_refused(core, context):
    refused = core("build", "-t", "lab/many:1", "--platform", "linux/amd64,windows/amd64", context, code=2)
    assert "platform 'windows/amd64' is not of the form" in refused


def test_further_names_are_given_and_missed(core, built):
    argv = ("build", "-t", "lab/one:1", "-t", "lab/two:2", "--platform", ALL, built)
    core(*argv)
    assert index(core, "lab/two:2") == index(core, "lab/one:1")
    assert core(*argv, "--json")["changed"] is False
    core("image", "tag", "lab/busybox", "lab/two:2")
    done = core(*argv, "--json")
    assert done["plan"]["steps"][0]["why"] == "lab/two:2 is no name of it"
    assert index(core, "lab/two:2") == index(core, "lab/one:1")
    assert "tags" in core("build", "-t", "lab/one:1", "-t", "UPPER", built, code=2)
