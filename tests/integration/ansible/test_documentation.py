"""ansible-doc on the assembled collection, ansible-test on a copy with a broken module, and the wheel."""

import json
import re
import subprocess
import sys
import zipfile

import pytest

from plays import BIN, TOP, assemble

MODULES = tuple(sorted(file.stem for file in (TOP / "modules").glob("*.py")))
PLANNING = ("container", "generation", "image", "network", "node", "stack", "volume")
"""Those whose answer is a plan: they say the same of it."""
PARTIAL = ("container_exec", "image_copy")
"""Nobody can foretell what these do."""


@pytest.fixture(scope="module")
def rendered(environment):
    """What ansible-doc says of each module, asked once."""
    argv = [BIN / "ansible-doc", "--json", *(f"bayplan.containers.{name}" for name in MODULES)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", MODULES)
def test_documentation_renders_and_equals_the_argument_spec(rendered, name):
    documented = rendered[f"bayplan.containers.{name}"]
    scope = {}
    exec((TOP / "plugins/module_utils/_specs.py").read_text(), scope)
    same(documented["doc"]["options"], scope["SPECS"][name])
    assert {"where", "hint", "output", *(("plan", "result") if name in PLANNING else ())} <= set(documented["return"])
    support = "partial" if name in PARTIAL else "full"
    assert documented["doc"]["attributes"]["check_mode"]["support"] == support


def same(documented, spec):
    assert set(documented) == set(spec)
    for option, entry in spec.items():
        for key in ("type", "elements", "choices", "default", "aliases", "required"):
            assert (documented[option].get(key) or None) == (entry.get(key) or None), (option, key)
        if "options" in entry:
            same(documented[option]["suboptions"], entry["options"])


def test_modules_are_short_and_say_the_same_of_what_they_return():
    texts = [(TOP / f"modules/{name}.py").read_text() for name in MODULES]
    assert max(text.count("\n") for text in texts) < 150
    plans = [(TOP / f"modules/{name}.py").read_text() for name in PLANNING]
    said = [re.search(r'RETURN = r"""\n(plan:.*?output:.*?type: str\n)', text, re.DOTALL).group(1) for text in plans]
    assert len(set(said)) == 1


def test_validate_modules_passes_ours_and_fails_a_broken_one(tmp_path):
    top = assemble(tmp_path)
    broken = (top / "plugins/modules/volume.py").read_text().replace("module: volume", "module: broken")
    broken = broken.replace("argument_spec=", "required_together=[('name', 'nowhere')], argument_spec=")
    (top / "plugins/modules/broken.py").write_text(broken.replace("type: dict", "type: dictionary"))
    sys.path.insert(0, str(TOP / "tools"))
    try:
        from sanity import sanity
    finally:
        sys.path.remove(str(TOP / "tools"))
    code, said = sanity(top, "--test", "validate-modules")
    assert code != 0
    found = re.findall(r"^ERROR: (plugins/\S+?):\d+:\d+: (\S+):", said, re.MULTILINE)
    assert {file for file, _ in found} == {"plugins/modules/broken.py"}, said
    assert "return-syntax-error" in {kind for _, kind in found}, said


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A wheel made of the source distribution, as an index would have it."""
    directory = tmp_path_factory.mktemp("built")
    build = "import sys, hatchling.build as b; print(b.build_sdist(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, directory], cwd=TOP, check=True, capture_output=True)
    [source] = directory.glob("*.tar.gz")
    # Python 3.11.2 of Debian 12 has no `filter`, 3.12 warns without one.
    subprocess.run(["tar", "-xf", source, "-C", directory], check=True)
    [unpacked] = (item for item in directory.iterdir() if item.is_dir())
    build = build.replace("build_sdist", "build_wheel")
    subprocess.run([sys.executable, "-c", build, directory], cwd=unpacked, check=True, capture_output=True)
    [wheel] = directory.glob("*.whl")
    return wheel


def test_the_wheel_has_the_whole_collection(built, collections):
    place = "ansible_collections/bayplan/containers/"
    with zipfile.ZipFile(built) as archive:
        inside = {name.removeprefix(place) for name in archive.namelist() if name.startswith(place)}
        version = re.search(r"^version: (.*)$", archive.read(f"{place}galaxy.yml").decode(), re.MULTILINE).group(1)
    whole = {str(item.relative_to(collections / place)) for item in (collections / place).rglob("*") if item.is_file()}
    whole = {name for name in whole if "__pycache__" not in name}
    assert inside == whole
    assert {
        "meta/runtime.yml",
        "plugins/module_utils/_specs.py",
        *(f"plugins/modules/{n}.py" for n in MODULES),
    } <= whole
    assert f"-{version}-" in built.name


def test_the_wheel_has_the_provider_and_not_the_sdk_of_programs(built):
    with zipfile.ZipFile(built) as archive:
        inside = set(archive.namelist())
    assert {f"bayplan/pulumi/{name}" for name in ("schema.json", "servicer.py", "plugin/PulumiPlugin.yaml")} <= inside
    assert not [name for name in inside if "pulumi_bayplan" in name]


def test_an_installed_wheel_needs_no_setting(built, tmp_path):
    """In an environment of its own, from an empty directory, with no variable that helps.

    Dependencies come from this test's environment by a path file after the installed wheel, so that the editable
    install there, whose links to the collection would be found as well, is not the one that is seen first.
    """
    venv, work = tmp_path / "venv", tmp_path / "work"
    work.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    site = next(venv.glob("lib/python*/site-packages"))
    python = venv / "bin/python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", built]
    subprocess.run(install, check=True, cwd=work)
    (site / "dependencies.pth").write_text(next(BIN.parent.glob("lib/python*/site-packages")).as_posix() + "\n")
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(work), "LC_ALL": "C.UTF-8"}

    def call(*argv):
        done = subprocess.run(argv, cwd=work, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    adhoc = [python, "-m", "ansible"]
    listed = call(*adhoc, "doc", "-l", "bayplan.containers")
    assert re.findall(r"^bayplan\.containers\.(\w+)", listed, re.MULTILINE) == list(MODULES)
    assert str(site) in call(*adhoc, "doc", "bayplan.containers.stack")
    assert "0.1.0" in call(*adhoc, "galaxy", "collection", "list", "bayplan.containers")
    (work / "play.yml").write_text(PLAY.format(roots=tmp_path))
    assert "changed=1" in call(*adhoc, "playbook", "play.yml")


PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - bayplan.containers.volume:
        name: bpa-data
        settings: {{state_root: {roots}/state, run_root: {roots}/run}}
      check_mode: true
"""
