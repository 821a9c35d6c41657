import pytest

from bayplan.cli.parser import parse
from bayplan.errors import DeclarationError, NotBuiltYetError, NotFoundError


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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-t", "x"], "build -t takes one context"),
        (["-t", "x", ".", "other"], "build -t takes one context"),
        (["--target", "y"], "--target is for one image"),
        (["-f", "Dockerfile"], "-f is for one image"),
        (["--network", "none"], "--network is for one image"),
    ],
)
def test_one_image_has_a_name_and_a_context_and_those_of_a_project_have_their_file(arguments, says):
    options = parse(["build", *arguments])
    with pytest.raises(DeclarationError, match=says):
        options.run(options)


def test_services_that_are_not_there_are_no_directory_either(tmp_path):
    (tmp_path / "compose.yaml").write_text("services: {web: {image: x}}")
    options = parse(["-f", str(tmp_path / "compose.yaml"), "build", "."])
    with pytest.raises(NotFoundError, match=r"there is no service \. .there are: web; .* has a name: -t NAME"):
        options.run(options)
