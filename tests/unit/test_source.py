"""Rules that hold for the whole source, looked up in its syntax."""

import ast
from pathlib import Path

import pytest

import bayplan

TOP = Path(bayplan.__file__).parent
FILES = sorted(TOP.rglob("*.py"))
NEVER = {
    *("os.system", "os.popen", "eval", "exec", "compile", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *(
        "pickle.load",
        "pickle.loads",
        "marshal.loads",
        "shelve.open",
        "yaml.load",
        "yaml.unsafe_load",
        "tempfile.mktemp",
    ),
}
"""Text that becomes a program, in whatever way."""


def calls(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(TOP)))
def test_programs_are_started_by_lists_and_no_text_is_run(file):
    """Commands are argv lists: no shell, nothing that reads code out of data, no archive unpacked by tarfile."""
    found = []
    for node, name in calls(file):
        given = {one.arg: one.value for one in node.keywords}
        shell = (
            name.startswith("subprocess.")
            and "shell" in given
            and not (isinstance(given["shell"], ast.Constant) and given["shell"].value is False)
        )
        text = name.startswith("subprocess.") and node.args and isinstance(node.args[0], ast.Constant | ast.JoinedStr)
        if name in NEVER or shell or text or name.endswith((".extractall", ".extract")):
            found.append(f"{node.lineno}: {name}")
    assert found == []
