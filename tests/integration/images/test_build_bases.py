"""Base images that come from a real registry on loopback."""

import os

import pytest
import urllib3

from bayplan.errors import NotFoundError, StalePlanError
from bayplan.models import Build, Image, ImageReference
from builds import Core, write

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
