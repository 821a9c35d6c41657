import pytest

from bayplan.cli.parser import parse
from bayplan.errors import DeclarationError, NotBuiltYetError


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (["https://x.example/y.tar.gz"], NotBuiltYetError, "a build context that is no directory"),
        (["git@x.example:y#-x"], DeclarationError, "no branch, tag or commit"),
        (["-"], NotBuiltYetError, "a build context that is no directory"),
        (["--network", "front", "."], DeclarationError, "build network"),
        (["--add-host", "db", "."], DeclarationError, "--add-host db is not NAME=ADDRESS"),
        (["--ulimit", "nofile=x", "."], DeclarationError, "build ulimits.nofile.soft"),
        (["--shm-size", "big", "."], DeclarationError, "build shm_size"),
        (["--allow", "all", "."], DeclarationError, "unknown --allow all .security.insecure, network.host"),
    ],
)
def test_what_cannot_be_built_is_refused_before_anything_is_opened(arguments, error, says):
    options = parse(["build", "-t", "x", *arguments])
    with pytest.raises(error, match=says):
        options.run(options)
