import subprocess

import pytest

from bayplan.runtime.native.images.build.modes import Mode

WRITTEN = (
    *("0644", "u=rwX,go=rX", "a-w", "+x", "g=u", "o=g-w", "u+s,g+s", "+t", "ug=rw,o=", "a=rwx,u-x+X"),
    *("-x,a+X", "u=rwxs,g=s", "go-rwx", "=r"),
)


@pytest.mark.parametrize("text", WRITTEN)
@pytest.mark.parametrize("before", [0o644, 0o755, 0o4750, 0o600, 0o2070])
@pytest.mark.parametrize("is_directory", [False, True])
def test_it_is_what_chmod_makes_of_it(tmp_path, text, before, is_directory):
    path = tmp_path / "x"
    if is_directory:
        path.mkdir()
    else:
        path.touch()
    path.chmod(before)
    # chmod(1) keeps the set-id bits of directories when it is not told of them; an image is not the place for that.
    keeps = before & 0o6000 if is_directory else 0
    subprocess.run(["chmod", "--", text, path], check=True, preexec_fn=lambda: __import__("os").umask(0))
    wanted = path.stat().st_mode & 0o7777
    found = Mode.parse(text).of(before, is_directory=is_directory)
    assert found & ~keeps == wanted & ~keeps


@pytest.mark.parametrize("text", ["", "8", "77777", "u", "u+y", "x", "u=rw;g=r", "u=rw,", "+ug"])
def test_what_is_no_mode_is_refused(text):
    with pytest.raises(ValueError, match="neither octal nor"):
        Mode.parse(text)
