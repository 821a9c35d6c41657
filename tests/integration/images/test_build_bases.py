"""Base images that come from a real registry on loopback."""

import json
import os

import pytest
import urllib3

from bayplan.errors import NotFoundError, StalePlanError, UnsupportedError
from bayplan.models import Build, Image, ImageReference
from bayplan.runtime.native.images.build import platforms
from builds import Core, add_base, write

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


@pytest.fixture
def core(root, registry):
    conf = root / "registries.conf"
    conf.write_text(f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n')
    made = Core(registries_conf=(conf,))
    yield made
    made.close()


def push(core, name, target):
    """An image of the store to ``host/repository:tag``."""
    store, target = core.runtime.images.store, ImageReference.parse(target)
    digest = store.find(ImageReference.parse(name))
    manifest = store.document(digest)
    http = urllib3.PoolManager(retries=False)
    base = f"http://{target.registry}/v2/{target.repository}"
    for item in (manifest["config"], *manifest["layers"]):
        where = http.request("POST", f"{base}/blobs/uploads/").headers["Location"]
        data = store.blob(item["digest"]).read_bytes()
        assert http.request("PUT", f"{where}&digest={item['digest']}", body=data).status == 201
    kind = {"Content-Type": manifest["mediaType"]}
    data = store.blob(digest).read_bytes()
    assert http.request("PUT", f"{base}/manifests/{target.tag}", body=data, headers=kind).status == 201
    http.clear()
    return digest


def test_a_base_is_looked_at_while_planning_and_pulled_while_building(core, registry, tmp_path):
    base = f"{registry}/base:1"
    digest = push(core, "lab/base", base)
    core.runtime.images.delete("lab/base", ())
    write(tmp_path, Dockerfile=f"FROM {base}\nENV PATH=$PATH:/x\nRUN echo 1 > /1\nCOPY --from={base} /etc/old /2\n")
    image = Image(name="lab/app", build=Build(context=str(tmp_path)))
    planned = core.runtime.resolve(image)
    assert (planned.present, planned.why) == (False, "not built yet")
    assert core.runtime.images.store.find(ImageReference.parse(base)) is None
    core.build(tmp_path)
    assert core.runtime.images.store.find(ImageReference.parse(base)) == digest
    assert core.output(command=("cat", "/1", "/2")) == ["1", "old"]
    assert "PATH=/bin:/x" in core.runtime.images.store.get(core.runtime.resolve(image).digest).config.env
    write(tmp_path, Dockerfile=f"FROM {registry}/none\n")
    with pytest.raises(NotFoundError, match=r"Dockerfile:1: base image: .*none"):
        core.runtime.resolve(image)


def test_a_newer_base_is_asked_for_only_when_declared(core, registry, tmp_path):
    base = f"{registry}/base:1"
    push(core, "lab/base", base)
    write(tmp_path, Dockerfile=f"FROM {base}\nRUN true\n", other__Dockerfile="FROM lab/base\nENV NEW=1\n")
    core.build(tmp_path)
    planned = core.runtime.resolve(Image(name="lab/app", build=Build(context=str(tmp_path), pull=True)))
    assert planned.present
    core.build(tmp_path / "other", "lab/newer")
    newer = push(core, "lab/newer", base)
    assert core.runtime.resolve(Image(name="lab/app", build=Build(context=str(tmp_path)))).present
    image = Image(name="lab/app", build=Build(context=str(tmp_path), pull=True))
    planned = core.runtime.resolve(image)
    assert (planned.present, planned.why) == (False, "a base image changed")
    with pytest.raises(StalePlanError):  # planned with the newer, asked to build with the older
        core.runtime.create(
            Image(name="lab/app", build=Build(context=str(tmp_path))), project="", digest=planned.digest
        )
    core.build(tmp_path, pull=True)
    assert core.runtime.images.store.find(ImageReference.parse(base)) == newer
    assert "NEW=1" in core.runtime.images.store.get(core.runtime.resolve(image).digest).config.env


def push_index(core, target):
    """The base image for two platforms under one name; gives their digests."""
    add_base(core.runtime.images.store, "lab/arm", "arm64")
    rows, digests = [], {}
    for name, architecture in (("lab/base", "amd64"), ("lab/arm", "arm64")):
        digest = digests[architecture] = push(core, name, target)
        size = core.runtime.images.store.blob(digest).stat().st_size
        kind = "application/vnd.oci.image.manifest.v1+json"
        platform = {"os": "linux", "architecture": architecture}
        rows.append({"mediaType": kind, "digest": digest, "size": size, "platform": platform})
    kind = "application/vnd.oci.image.index.v1+json"
    data = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": rows}).encode()
    found = ImageReference.parse(target)
    http = urllib3.PoolManager(retries=False)
    where = f"http://{found.registry}/v2/{found.repository}/manifests/{found.tag}"
    assert http.request("PUT", where, body=data, headers={"Content-Type": kind}).status == 201
    http.clear()
    for name in ("lab/base", "lab/arm"):
        core.runtime.images.delete(name, ())
    return digests


@pytest.mark.skipif(platforms.host() != "linux/amd64", reason="the foreign platform is arm64")
def test_stages_for_another_platform(core, registry, tmp_path):
    base = f"{registry}/multi:1"
    digests = push_index(core, base)
    store = core.runtime.images.store
    text = f"""\
FROM --platform=$BUILDPLATFORM {base} AS tools
ARG TARGETPLATFORM BUILDPLATFORM TARGETARCH
RUN echo "$BUILDPLATFORM makes $TARGETPLATFORM $TARGETARCH" > /said
FROM {base}
COPY --from=tools /said /said
WORKDIR /w
ENV A=b
"""
    write(tmp_path, Dockerfile=text)

    def build(platform):
        image = Image(name="lab/app", platform=platform, build=Build(context=str(tmp_path)))
        planned = core.runtime.resolve(image)
        core.runtime.create(image, project="", digest=planned.digest)
        again = core.runtime.resolve(image)
        assert again.present
        stored = store.get(again.digest)
        core.runtime.images.rootfs("lab/app", again.digest)
        said = [core.runtime.images.layers.path(chain) / "said" for chain in stored.chain_ids]
        return stored.architecture, next(path.read_text() for path in said if path.exists())

    assert build("linux/arm64") == ("arm64", "linux/amd64 makes linux/arm64 arm64\n")
    # The name stands for what runs here, whichever came first; both are found again without the registry.
    assert store.find(ImageReference.parse(base)) == digests["amd64"]
    assert build(None) == ("amd64", "linux/amd64 makes linux/amd64 amd64\n")
    assert store.find(ImageReference.parse(base)) == digests["amd64"]
    assert build("linux/arm64/v8")[0] == "arm64"
    if not platforms.runs_here("linux/arm64"):
        write(tmp_path, Dockerfile=text + "RUN true\n")
        with pytest.raises(UnsupportedError, match=r"Dockerfile:8: RUN: a stage for linux/arm64 .*qemu-user-static"):
            build("linux/arm64")
    with pytest.raises(NotFoundError, match="has no manifest for linux/s390x"):
        build("linux/s390x")


def test_an_image_from_scratch_is_of_the_platform_that_was_asked_for(core, tmp_path):
    write(tmp_path, Dockerfile="FROM scratch\nCOPY a /\n", a="a")
    image = Image(name="lab/app", platform="linux/arm/v6", build=Build(context=str(tmp_path)))
    core.runtime.create(image, project="", digest=core.runtime.resolve(image).digest)
    store = core.runtime.images.store
    document = store.document(store.document(core.runtime.resolve(image).digest)["config"]["digest"])
    assert (document["os"], document["architecture"], document["variant"]) == ("linux", "arm", "v6")
