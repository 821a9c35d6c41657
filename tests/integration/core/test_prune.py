"""What a project no longer declares goes, as previewed; what others have, and what is declared, stays."""

import json
import os

import pytest
import yaml

from faults.core import add_image, layer

pytestmark = [pytest.mark.host, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
SERVICE = {"image": "lab/busybox", "command": ["sh", "-c", "exec sleep 600"], "stop_grace_period": "0s"}
WEB = {**SERVICE, "networks": ["net"]}
GONE = {**SERVICE, "image": "lab/old", "networks": ["net", "old"], "volumes": ["data:/data"]}
OTHER = {"name": "other", "services": {"db": {**SERVICE, "volumes": ["d:/d"]}}, "volumes": {"d": {}}}
WHOLE = {
    "name": "tidy",
    "services": {"web": WEB, "gone": GONE},
    "networks": {"net": {}, "old": {}},
    "volumes": {"data": {}},
}
LESS = {"name": "tidy", "services": {"web": WEB}, "networks": {"net": {}}}


def write(project, stack):
    project.file.write_text(yaml.safe_dump(stack))


def there(project, *argv):
    return {item["name"]: item["id"] for item in json.loads(project(*argv, "status", "--json"))}


def pruned(project, *argv):
    return json.loads(project("prune", "--json", *argv))


@pytest.fixture
def tidy(project):
    """A project of which half is no longer declared, beside another one."""
    add_image(project.state / "images", "lab/old", layer(files=[("old", b"content of another image")]))
    for stack in (OTHER, WHOLE):
        write(project, stack)
        project("apply")
    write(project, LESS)
    yield project
    write(project, OTHER)
    project("destroy", "--volumes")
    write(project, LESS)


def test_just_what_was_previewed_goes_and_nothing_of_others(tidy):
    before, others = there(tidy), there(tidy, "-p", "other")
    listed = pruned(tidy, "--dry-run")
    assert set(listed["remove"]) == {"container tidy-gone-1", "network tidy_old"}
    assert "volume tidy_data is no longer declared" in listed["kept"][0]
    assert there(tidy) == before, "only a look"
    done = pruned(tidy)
    assert (done["remove"], sorted(done["removed"])) == (listed["remove"], sorted(listed["remove"]))
    assert there(tidy) == {name: before[name] for name in ("tidy-web-1", "tidy_net", "tidy_data")}
    assert "- volume tidy_data  no longer declared; data: the volume's content is lost" in tidy("prune", "--volumes")
    assert "tidy_data" not in there(tidy)
    assert tidy("prune", "--volumes") == "Nothing to remove.\n"
    assert there(tidy, "-p", "other") == others


def test_what_a_container_has_until_the_next_apply_stays(tidy):
    write(tidy, {**LESS, "services": {"web": {**SERVICE, "networks": ["new"]}}, "networks": {"new": {}}})
    listed = pruned(tidy, "--dry-run")
    assert set(listed["remove"]) == {"container tidy-gone-1", "network tidy_old"}
    assert "network tidy_net is no longer declared, and tidy-web-1 has it until the next apply" in listed["kept"]
    assert sorted(pruned(tidy)["removed"]) == sorted(listed["remove"])
    assert {"tidy-web-1", "tidy_net"} <= there(tidy).keys()
    tidy("apply")
    assert "tidy_net" not in there(tidy)


def test_generations_go_and_the_images_that_only_they_declared(tidy):
    tidy("apply")
    write(tidy, {**LESS, "services": {"web": {**WEB, "stop_grace_period": "1s"}}})
    tidy("apply")
    assert pruned(tidy, "--keep", "1", "--dry-run")["remove"] == ["image lab/old", "generation 1", "generation 2"]
    assert [item["number"] for item in json.loads(tidy("history", "--json"))] == [3, 2, 1]
    assert pruned(tidy, "--keep", "1")["removed"] == ["image lab/old", "generation 1", "generation 2"]
    assert [item["number"] for item in json.loads(tidy("history", "--json"))] == [3]
    assert {name for item in json.loads(tidy("image", "ls", "--json")) for name in item["names"]} == {
        "lab/busybox:latest"
    }
    assert "generation 1 of tidy is not kept (there are: 3)" in tidy("rollback", "1", ok=False)
    assert "at least the last generation stays" in tidy("prune", "--keep", "0", ok=False)
