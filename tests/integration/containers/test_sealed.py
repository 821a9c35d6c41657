"""The OCI runtime from a sealed copy: one start instead of two, and nothing that a container could write to."""

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

from bayplan.system.sealed import SealedProgram

pytestmark = pytest.mark.host


def test_it_runs_and_cannot_be_written():
    program = SealedProgram(shutil.which("cat"))
    try:
        assert subprocess.run([program.path()], input=b"x", capture_output=True, check=True).stdout == b"x"
        with (
            pytest.raises(OSError, match=r"Text file busy|Operation not permitted"),
            Path(program.path()).open("wb") as file,
        ):
            file.write(b"y")
        assert program.path() == program.path()
    finally:
        program.close()


def test_a_replaced_program_is_copied_anew(tmp_path):
    place = tmp_path / "tool"
    shutil.copy(shutil.which("true"), place)
    program = SealedProgram(str(place))
    assert subprocess.run([program.path()], check=False).returncode == 0
    place.unlink()
    shutil.copy(shutil.which("false"), place)
    assert subprocess.run([program.path()], check=False).returncode == 1
    program.close()


def test_it_has_the_seals_that_crun_and_runc_look_for():
    """Exactly these (cloned_binary.c of both): with others they copy themselves and start once more."""
    program = SealedProgram(shutil.which("crun"))
    with Path(program.path()).open("rb") as copy:
        assert fcntl.fcntl(copy, 1034) == 0x0F  # F_GET_SEALS (fcntl(2)): seal, shrink, grow, write
    program.close()
