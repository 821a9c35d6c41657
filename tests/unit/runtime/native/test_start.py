"""What an apply loads: its modules are most of the time of a command that changes nothing."""

import subprocess
import sys

APPLY = (
    "import sys, bayplan.cli.verbs, bayplan.load.compose, bayplan.runtime.native.runtime,"
    " bayplan.runtime.native.image_verbs; print(*sys.modules)"
)


def test_an_apply_loads_no_builder_no_archives_and_no_registries():
    loaded = subprocess.run([sys.executable, "-c", APPLY], capture_output=True, text=True, check=True).stdout.split()
    rooms = [name.removeprefix("bayplan.") for name in loaded if name.startswith("bayplan.")]
    assert "runtime.native.image_verbs" in rooms
    unwanted = ("runtime.dockerfile", "runtime.native.images.build", "runtime.native.build_mounts", "registry.client")
    assert [name for name in rooms if name.startswith(unwanted)] == []
    assert {"tarfile", "tomllib", "urllib3", "pyroute2"}.isdisjoint(loaded)
