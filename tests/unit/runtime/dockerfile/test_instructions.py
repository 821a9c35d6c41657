import pytest

from bayplan.errors import DeclarationError, NotBuiltYetError
from bayplan.runtime.dockerfile.instructions import notes, parse
from bayplan.runtime.native.images.build.stages import drafts, target_of


def names(text):
    return [(item.name, item.text, item.where.line) for item in parse(text, "Dockerfile")]


def test_lines_are_joined_and_counted_from_the_first():
    text = "# a comment\nFROM a\n\nRUN one \\\n  # inside\n\n  two\ncmd x\n"
    assert names(text) == [("FROM", "a", 2), ("RUN", "one   two", 4), ("CMD", "x", 8)]


def test_the_escape_sign_is_a_directive_only_before_all_else():
    assert names("# escape=`\nFROM a\nRUN a `\n b\\\n") == [("FROM", "a", 2), ("RUN", "a  b\\", 3)]
    assert names("# words\n# escape=`\nFROM a\nRUN a`\n")[1] == ("RUN", "a`", 4)
    with pytest.raises(DeclarationError, match="Dockerfile:1: escape=x"):
        parse("# escape=x\nFROM a\n", "Dockerfile")


def test_exec_form_is_a_list_of_strings_and_everything_else_is_text():
    found = parse('FROM a\nRUN ["a", "b c"]\nRUN [ -f x ]\nRUN ["a", 1]\n', "f")
    assert [item.words for item in found] == [None, ("a", "b c"), None, None]


def test_flags_come_off_in_front_alone():
    found = parse("FROM a\nCOPY --from=b --chown=1:2 x --y z\n", "f")[1]
    assert found.flags == (("from", "b"), ("chown", "1:2"))
    assert found.text == "x --y z"
    assert str(found) == "COPY --from=b --chown=1:2 x --y z"
    switched = parse("FROM a\nCOPY --link --parents=false x y\n", "f")[1]
    assert switched.flags == (("link", "true"), ("parents", "false"))
    assert str(switched) == "COPY --link --parents=false x y"


@pytest.mark.parametrize(
    ("line", "error", "says"),
    [
        ("RUNN x", DeclarationError, r"f:2: unknown instruction 'RUNN' \(did you mean RUN\?\)"),
        ("ONBUILD FROM x", DeclarationError, "f:2: ONBUILD: FROM cannot be kept"),
        ("ONBUILD " * 5000 + "RUN x", DeclarationError, "f:2: ONBUILD: ONBUILD cannot be kept"),
        ("ONBUILD MAINTAINER x", DeclarationError, "f:2: ONBUILD: MAINTAINER cannot be kept"),
        ("ONBUILD RUNN x", DeclarationError, "f:2: unknown instruction 'RUNN'"),
        (
            "RUN --device=x a",
            NotBuiltYetError,
            r"f:2: RUN --device is not built yet \(a command with --security=insecure",
        ),
        ("COPY --form=x a b", DeclarationError, "f:2: COPY has no flag --form"),
        ("COPY --from a b", DeclarationError, "--from needs a value"),
        ("RUN cat <<EOF", DeclarationError, "f:2: the heredoc EOF is not closed"),
        ("RUN", DeclarationError, "f:2: RUN: says nothing"),
    ],
)
def test_what_is_not_built_is_refused_with_its_line(line, error, says):
    with pytest.raises(error, match=says):
        parse(f"FROM a\n{line}\n", "f")


def test_shift_and_here_strings_are_no_heredocs():
    assert len(parse("FROM a\nRUN echo $((1 <<2)) $((1<<N)) && cat <<<word\n", "f")) == 2


STAGES = """\
ARG TAG=1
FROM a:$TAG AS one
FROM b AS Two
COPY --from=one /x /y
FROM c AS lonely
FROM two
COPY --from=0 /x /y
"""


def test_stages_have_names_and_numbers():
    found, outer = drafts(parse(STAGES, "f"), {"TAG": "2"})
    assert (found[0].base, outer["TAG"]) == ("a:2", "2")
    assert [target_of(found, name) for name in (None, "TWO", "2")] == [3, 1, 2]
    with pytest.raises(DeclarationError, match=r"no stage 'tow' \(stages: two\)"):
        target_of(found, "tow")


def test_frontends_are_ignored_with_a_note():
    """Attack row "Build": ``# syntax=`` front ends are ignored."""
    text = (
        "# check=skip=all;error=true\n# syntax=evil.example/front:1\n# escape=`\nFROM a\nMAINTAINER me\nRUN a `\n b\n"
    )
    found = parse(text, "f")
    assert found[2].text == "a  b"
    first, second = notes(text, found, "f")
    assert first.startswith("f:2: # syntax=evil.example/front:1 is ignored: the frontend is not fetched")
    assert second.startswith("f:5: MAINTAINER is deprecated")
    assert notes("# syntax=docker/dockerfile:1.7-labs\nFROM a\n", (), "f") == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("RUN x\nFROM a\n", "f:1: RUN: stands before the first FROM"),
        ("ARG A\n", "f: the Dockerfile has no FROM|f:1: the Dockerfile has no FROM"),
        ("FROM a AS x\nFROM b AS X\n", "f:2: FROM: a stage named 'x' exists already"),
        ("FROM a as\n", "f:1: FROM: is not of the form"),
        ("ARG A\nFROM $A\n", "f:2: FROM: the image's name is empty"),
        ("# nothing\n", "f: the Dockerfile has no instruction"),
    ],
)
def test_stages_that_cannot_be_are_refused(text, says):
    with pytest.raises(DeclarationError, match=says):
        drafts(parse(text, "f"), {})
