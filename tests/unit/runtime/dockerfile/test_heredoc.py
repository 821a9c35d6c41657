import pytest

from bayplan.errors import DeclarationError
from bayplan.runtime.dockerfile.instructions import parse


def second(text):
    return parse("FROM a\n" + text, "f")[1]


def test_a_heredoc_ends_at_its_name_and_the_lines_go_on_counting():
    found = parse("FROM a\nRUN <<EOF\n# kept\n\n EOF\nEOF\nCMD x\n", "f")
    assert found[1].heredocs[0].data == "# kept\n\n EOF\n"
    assert (found[2].name, found[2].where.line) == ("CMD", 7)
    assert (found[1].title, str(found[1])) == ("RUN <<EOF", "RUN <<EOF\n# kept\n\n EOF\nEOF")


def test_several_in_one_line_follow_each_other():
    found = second('COPY <<one <<-"two" /x/\n1\none\n\t\t2\n\ttwo\n').heredocs
    assert [(item.name, item.data, item.expands) for item in found] == [("one", "1\n", True), ("two", "2\n", False)]


def test_variables_count_only_without_quotes():
    plain, quoted = second("COPY <<a <<'b' /x/\n'$V' ${V:-d} \\$V\na\n$V\nb\n").heredocs
    assert plain.content({"V": "v"}, "\\") == "'v' v $V\n"
    assert quoted.content({"V": "v"}, "\\") == "$V\n"


def test_only_instructions_that_have_files_have_heredocs():
    assert [item.name for item in parse("FROM a\nENV A=<<EOF\nCMD x <<EOF\n", "f")] == ["FROM", "ENV", "CMD"]
    with pytest.raises(DeclarationError, match="f:2: the heredoc b is not closed"):
        second("RUN cat <<a <<b\na\n")
