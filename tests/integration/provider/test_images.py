"""Images on the wire: built when what they are made of changes, and only then."""

import pytest

from bayplan.pulumi.values import UNKNOWN
from plugin import kinds

pytestmark = pytest.mark.host
DOCKERFILE = "FROM lab/busybox\nCOPY page /page\n"


def test_a_build_follows_its_context(pulumi, tmp_path):
    context = tmp_path / "app"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "page").write_text("one")
    inputs = pulumi.checked("Image", {"name": "shop/web", "build": {"context": str(context)}})
    name, foreseen = pulumi.create("Image", inputs, preview=True)
    assert (name, foreseen["digest"]) == ("shop/web", UNKNOWN)
    id_, state = pulumi.create("Image", inputs)
    assert state["digest"].startswith("sha256:")
    assert state["reference"] == f"docker.io/shop/web:latest@{state['digest']}"
    assert state["fingerprint"]
    assert pulumi.diff("Image", id_, inputs, state, inputs).changes == 1
    (context / "page").touch()
    assert pulumi.diff("Image", id_, inputs, state, inputs).changes == 1
    (context / "page").write_text("two")
    found = pulumi.diff("Image", id_, inputs, state, inputs)
    assert (kinds(found), list(found.replaces)) == ({"digest": "update"}, [])
    assert pulumi.update("Image", id_, inputs, state, inputs, preview=True)["digest"] is UNKNOWN
    updated = pulumi.update("Image", id_, inputs, state, inputs)
    assert updated["digest"] != state["digest"]
    assert pulumi.diff("Image", id_, inputs, updated, inputs).changes == 1

    sleep = {"command": ["sleep", "600"], "networkMode": "none", "stopGracePeriod": "100ms"}
    container = pulumi.checked("Container", {"name": "web", "image": updated["reference"], **sleep})
    web, made = pulumi.create("Container", container)
    assert made["imageDigest"] == updated["digest"]
    found = pulumi.diff("Container", web, container, made, {**container, "image": UNKNOWN})
    assert kinds(found) == {"image": "update-replace"}
    pulumi.delete("Image", id_, inputs)  # in use: it stays
    assert pulumi.read("Image", id_, inputs, updated)[1]["digest"] == updated["digest"]
    pulumi.delete("Container", web)
    pulumi.delete("Image", id_, inputs)
    assert pulumi.read("Image", id_, inputs, updated) is None
