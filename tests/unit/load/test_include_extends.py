"""Files read from others: faults at their line, and nothing read in a circle."""

from __future__ import annotations

from pathlib import Path

import pytest

from bayplan.errors import DeclarationError, Location
from bayplan.load.compose import load_stack
from bayplan.models import BindMount, Stack

FILES = {
    "base.yaml": "services:\n  b: {image: b, extends: {file: other/more.yaml, service: m}}\n  c: {image: c}\n",
    "other/more.yaml": "services:\n  m: {extends: {file: ../base.yaml, service: b}}\n"
    "  n: {image: n, volumes: ['./v:/v']}\n",
    "ring.yaml": "include: [other/ring.yaml]\nservices: {r: {image: r}}\n",
    "other/ring.yaml": "include: [../ring.yaml]\nservices: {s: {image: s}}\n",
    "one.yaml": "services: {s: {image: one}}\n",
    "two.yaml": "services:\n  s: {image: two}\n",
    "models.yaml": "models: {m: {model: x}}\nservices: {s: {image: s}}\n",
    "empty.yaml": "# nothing\n",
}


def read(tmp_path: Path, text: str, *others: str) -> Stack:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    files = []
    for number, content in enumerate((text, *others)):
        files.append(tmp_path / f"c{number}.yaml")
        files[-1].write_text(content)
    return load_stack(files, project_name="p", environment={})


@pytest.mark.parametrize(
    ("text", "file", "line", "said"),
    [
        ("services:\n  a:\n    extends: nope\n", "c0.yaml", 3, "'nope' is not declared in"),
        ("services:\n  a:\n    extends: {file: base.yaml}\n", "c0.yaml", 3, "names no service"),
        ("services:\n  a:\n    extends: {service: a}\n", "c0.yaml", 3, "in a circle: a (c0.yaml) -> a (c0.yaml)"),
        ("services:\n  a:\n    extends: b\n  b: {extends: a}\n", "c0.yaml", 3, "a (c0.yaml) -> b (c0.yaml) -> a"),
        (
            "services:\n  a: {extends: {file: base.yaml, service: b}}\n",
            "base.yaml",
            2,
            "b (base.yaml) -> m (more.yaml)",
        ),
        ("services:\n  a: {extends: {file: gone.yaml, service: b}}\n", "c0.yaml", 2, "No such file"),
        ("services:\n  a: {extends: {file: base.yaml, service: z}}\n", "c0.yaml", 2, "'z' is not declared"),
        ("services:\n  a: {extends: {file: empty.yaml, service: z}}\n", "c0.yaml", 2, "is empty"),
        ("services:\n  a: {extends: {file: 'https://x/y', service: z}}\n", "c0.yaml", 2, "on another host"),
        ("services:\n  a: {extends: {file: base.yaml, service: c, other: 1}}\n", "c0.yaml", 2, "unknown key 'other'"),
        ("services: {a: {image: a}}\ninclude: base.yaml\n", "c0.yaml", 2, "must be a list"),
        ("services: {a: {image: a}}\ninclude: [gone.yaml]\n", "c0.yaml", 2, "No such file"),
        ("services: {a: {image: a}}\ninclude: [ring.yaml]\n", "ring.yaml", 1, "ring.yaml -> ring.yaml -> ring.yaml"),
        ("services: {a: {image: a}}\ninclude: [c0.yaml]\n", "c0.yaml", 2, "c0.yaml -> c0.yaml"),
        ("services: {a: {image: a}}\ninclude: [one.yaml, two.yaml]\n", "two.yaml", 2, "services.s is also declared in"),
        ("services: {a: {image: a}}\ninclude: [{path: one.yaml, env_file: gone}]\n", "c0.yaml", 2, "does not exist"),
        ("services: {a: {image: a}}\ninclude: [{project_directory: x}]\n", "c0.yaml", 2, "names no path"),
        ("services: {a: {image: a}}\ninclude: [{path: one.yaml, name: x}]\n", "c0.yaml", 2, "unknown key 'name'"),
        ("services: {a: {image: a}}\ninclude: [empty.yaml]\n", "c0.yaml", 2, "is empty"),
    ],
)
def test_faults(tmp_path: Path, text: str, file: str, line: int, said: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert isinstance(caught.value.where, Location)
    assert (Path(caught.value.where.file).name, caught.value.where.line) == (file, line)


def test_what_is_refused_is_named_in_an_included_file_too(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as caught:
        read(tmp_path, "services: {a: {image: a}}\ninclude: [models.yaml]\n")
    assert "models.yaml:1: models" in str(caught.value)


def test_a_second_file_changes_what_the_first_includes(tmp_path: Path) -> None:
    first = "include: [one.yaml]\nservices: {a: {image: a}}\n"
    made = read(tmp_path, first, "services: {s: {image: over, user: u}}\n").containers_of("s")[0]
    assert (made.image, made.user) == ("over", "u")


def test_paths_are_those_of_the_file_they_stand_in(tmp_path: Path) -> None:
    made = read(tmp_path, "services:\n  a: {extends: {file: other/more.yaml, service: n}}\n").containers_of("a")[0]
    (mount,) = made.mounts
    assert isinstance(mount, BindMount)
    assert mount.source == str(tmp_path / "other/v")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("include: ['~nobody-here/x']\n", "include[0]: '~nobody-here/x': there is no such user"),
        (
            "include: [{path: one.yaml, env_file: '~nobody-here/x'}]\n",
            "env_file: '~nobody-here/x': there is no such user",
        ),
        ("include: [{path: one.yaml, project_directory: []}]\n", "project_directory: must be a string, not a list"),
        (
            "services: {b: {image: b, extends: {file: '~nobody-here/x', service: s}}}\n",
            "file: '~nobody-here/x': there is",
        ),
        ("services: {b: {image: b, env_file: ['~nobody-here/x']}}\n", "env_file[0]: '~nobody-here/x': there is"),
        ("services: {b: {image: b, env_file: [{path: [a, b]}]}}\n", "env_file[0].path: must be a string, not a list"),
        ("services: {b: {build: '~nobody-here/x'}}\n", "build: '~nobody-here/x': there is no such user"),
    ],
)
def test_paths_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        read(tmp_path, text if "services" in text else f"{text}services: {{a: {{image: a}}}}\n")
    assert said in str(caught.value)


def test_what_is_read_by_way_of_each_other_is_bounded(tmp_path: Path) -> None:
    services = "".join(f"  s{number}: {{image: x, extends: s{number + 1}}}\n" for number in range(500))
    with pytest.raises(DeclarationError, match="more than 100 services extend each other"):
        read(tmp_path, f"services:\n{services}  s500: {{image: x}}\n")
    for times in (1, 2):
        for number in range(100):
            (tmp_path / f"i{number}.yaml").write_text(f"include: {[f'i{number + 1}.yaml'] * times}\n")
        (tmp_path / "i100.yaml").write_text("services: {b: {image: y}}\n")
        with pytest.raises(DeclarationError, match="more than 1000 files, or 50 in each other, are included"):
            read(tmp_path, "include: [i0.yaml]\nservices: {a: {image: a}}\n")
    for number in range(12):
        (tmp_path / f"i{number}.yaml").write_text(f"include: {[f'i{number + 1}.yaml'] * 2}\n")
    (tmp_path / "i12.yaml").write_text("services: {b: {image: y}}\n")
    with pytest.raises(DeclarationError, match="more than 1000 files"):
        read(tmp_path, "include: [i0.yaml]\nservices: {a: {image: a}}\n")


def test_a_file_that_many_extend_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    whole = Path.read_text

    def noted(path: Path, *given: str, **named: str) -> str:
        opened.append(path)
        return whole(path, *given, **named)

    monkeypatch.setattr(Path, "read_text", noted)
    text = "".join(f"  s{number}: {{extends: {{file: two.yaml, service: s}}}}\n" for number in range(9))
    assert {item.image for item in read(tmp_path, f"services:\n{text}").containers} == {"two"}
    assert [path.name for path in opened] == ["c0.yaml", "two.yaml"]
