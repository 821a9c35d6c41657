"""Bad input: each fault a clear line that says where, all of a file at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from bayplan.errors import DeclarationError, Location, ManyFaultsError, NotBuiltYetError
from bayplan.load.compose import find_files, load_stack, load_text

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
)
FAULTS = {
    "broken yaml": ("services:\n  a: [1\n", 3, "not valid YAML"),
    "duplicate key": ("services:\n  a: {image: x}\n  a: {image: y}\n", 3, "twice"),
    "alias bomb": (BOMB, 5, "aliases expanded"),
    "alias in itself": ("a: &a [*a]\n", 1, "contains itself"),
    "deep nesting": ("a: " + "[" * 200 + "]" * 200, 1, "deeper"),
    "unknown tag": ("services: !!python/object:os.system {}\n", 1, "unknown YAML tag"),
    "unknown key": ("services:\n  a:\n    image: x\n    volume: []\n", 4, "did you mean 'volumes'"),
    "unknown top key": ("service:\n  a: {image: x}\n", 1, "did you mean 'services'"),
    "wrong type": ("services:\n  a:\n    image: x\n    ports: 80\n", 4, "must be a list"),
    "wrong flag": ("services:\n  a:\n    image: x\n    privileged: maybe\n", 4, "true or false"),
    "missing variable": ("services:\n  a:\n    image: ${IMG:?set it}\n", 3, "IMG is missing a value: set it"),
    "open brace": ("services:\n  a:\n    image: ${IMG\n", 3, "closing brace"),
    "bad name": ("services:\n  a:\n    image: ${1A}\n", 3, "names no variable"),
    "cycle": (
        "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [c]}\n"
        "  c: {image: x, depends_on: [b]}\n",
        None,
        "cycle: ",
    ),
    "two of one name": (
        "services:\n  a: {image: x, container_name: n}\n  b:\n    image: x\n    container_name: n\n",
        5,
        "also that of service 'a'",
    ),
    "port twice": ("services:\n  a: {image: x, ports: ['80:80']}\n  b: {image: x, ports: ['80:81']}\n", 3, "published"),
    "no network": ("services:\n  a:\n    image: x\n    networks: [gone]\n", 4, "'gone' is not declared"),
    "no volume": ("services:\n  a:\n    image: x\n    volumes:\n      - gone:/x\n", 5, "'gone' is not declared"),
    "no dependency": ("services:\n  a:\n    image: x\n    depends_on: [gone]\n", 4, "'gone' is not declared"),
    "no image": ("services:\n  a: {restart: always}\n", 2, "neither an image nor a build"),
    "bad image": ("services:\n  a:\n    image: UPPER/Case\n", 3, "not a repository name"),
    "bad duration": ("services:\n  a:\n    image: x\n    stop_grace_period: 30\n", 4, "not a duration"),
    "bad size": ("services:\n  a:\n    image: x\n    mem_limit: lots\n", 4, "not a size"),
    "bad capability": ("services:\n  a:\n    image: x\n    cap_add:\n      - NO_SUCH\n", 5, "unknown capability"),
    "bad port": ("services:\n  a:\n    image: x\n    ports:\n      - 70000:80\n", 5, "between 1 and 65535"),
    "bad subnet": (
        "services: {a: {image: x, networks: [n]}}\nnetworks:\n  n:\n    ipam:\n      config: [{subnet: nonsense}]\n",
        5,
        "nonsense",
    ),
    "missing env file": ("services:\n  a:\n    image: x\n    env_file: gone.env\n", 4, "does not exist"),
    "both networks": ("services:\n  a:\n    image: x\n    network_mode: host\n    networks: [default]\n", 4, "exclude"),
    "replicas with name": (
        "services:\n  a:\n    image: x\n    container_name: n\n    deploy: {replicas: 2}\n",
        4,
        "2 replicas",
    ),
    "replicas beyond memory": (
        "services:\n  a:\n    image: x\n    deploy: {replicas: 100000000}\n",
        4,
        "more than the 1000",
    ),
    "unknown signal": ("services:\n  a:\n    image: x\n    stop_signal: SIGFOO\n", 4, "unknown signal 'SIGFOO'"),
    "unknown limit": ("services:\n  a:\n    image: x\n    ulimits: {files: 5}\n", 4, "unknown limit 'files'"),
    "nul": ('services:\n  a:\n    image: x\n    user: "a\\0b"\n', 4, "NUL"),
    "huge number": ("services:\n  a:\n    image: x\n    mem_limit: " + "9" * 5000, 4, "too long"),
    "nested variables": ("services:\n  a:\n    image: " + "${A:-" * 3000 + "}" * 3000, 3, "nested"),
    "endless cpus": ("services:\n  a:\n    image: x\n    cpus: 1e999\n", 4, "must be a number"),
    "empty": ("# nothing\n", None, "empty"),
    "a list": ("- a\n", 1, "must be a map"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_named_at_its_line(name: str, tmp_path: Path) -> None:
    """Fault row 19."""
    text, line, part = FAULTS[name]
    with pytest.raises(DeclarationError) as caught:
        load_text(text, label="c.yaml", project_directory=tmp_path, project_name="p", environment={})
    assert part in str(caught.value)
    assert isinstance(caught.value.where, Location)
    assert caught.value.where.file == "c.yaml"
    if line:
        assert caught.value.where.line == line


SEVERAL = """\
services:
  web:
    image: UPPER/Case
    portz: ["80:80"]
    privileged: maybe
    stop_signal: SIGFOO
    networks: [gone]
    volumes: ["nowhere:/data"]
    depends_on: [none]
    cpus: many
  db:
    image: x
    isolation: hyperv
    cap_add: [NO_SUCH]
    networks: [n]
networks:
  n: {driver: overlay}
"""


def test_all_faults_are_told_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    with pytest.raises(ManyFaultsError) as caught:
        load_text(SEVERAL, label="c.yaml", project_directory=tmp_path, project_name="p", environment={})
    head, *lines = str(caught.value).split("\n  ")
    assert head == "11 faults:"
    assert [int(line.split(":")[1]) for line in lines] == [3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 17]
    assert all(line.startswith("c.yaml:") for line in lines)
    assert "did you mean 'ports'" in lines[1]
    assert str(caught.value.where) == "c.yaml:3"


def test_variables_that_are_missing_are_told_at_once(tmp_path: Path) -> None:
    text = "services:\n  a:\n    image: ${IMG:?}\n    user: ${USER_ID:?who}\n"
    with pytest.raises(ManyFaultsError, match=r"2 faults:\n.*IMG.*\n.*USER_ID.*who"):
        load_text(text, label="c.yaml", project_directory=tmp_path, project_name="p", environment={})


def test_of_very_many_faults_the_rest_is_counted(tmp_path: Path) -> None:
    text = "services:\n  a:\n    image: x\n" + "".join(f"    unknown{number}: 1\n" for number in range(30))
    with pytest.raises(ManyFaultsError) as caught:
        load_text(text, label="c.yaml", project_directory=tmp_path, project_name="p", environment={})
    assert str(caught.value).splitlines()[-1] == "  and 10 more"
    assert len(str(caught.value).splitlines()) == 22


UNBUILT = ["logging: {driver: syslog}", "network_mode: bridge", "pre_start: []",
           "logging: {options: {compress: 'true'}}"]  # fmt: skip


@pytest.mark.parametrize("attribute", UNBUILT)
def test_known_but_unbuilt_is_refused_as_such(attribute: str, tmp_path: Path) -> None:
    text = f"services:\n  a:\n    image: x\n    {attribute}\n"
    with pytest.raises(NotBuiltYetError) as caught:
        load_text(text, label="c.yaml", project_directory=tmp_path, project_name="p", environment={})
    assert isinstance(caught.value.where, Location)
    assert caught.value.where.line == 4


WILL_NOT = {
    "isolation: hyperv": "is of Windows containers",
    "credential_spec: {file: x}": "is of Windows containers",
    "cpu_count: 2": "use cpus",
    "external_links: [x]": "join both to one network",
    "provider: {type: x}": "nothing can be planned",
    "models: [m]": "run by Docker Desktop",
    "use_api_socket: true": "no engine with a socket",
}


@pytest.mark.parametrize("attribute", WILL_NOT)
def test_what_will_not_be_built_is_refused_with_the_reason(attribute: str, tmp_path: Path) -> None:
    text = f"services:\n  a:\n    image: x\n    {attribute}\n"
    with pytest.raises(DeclarationError) as caught:
        load_text(text, label="c.yaml", project_directory=tmp_path, project_name="p", environment={})
    assert not isinstance(caught.value, NotBuiltYetError)
    assert WILL_NOT[attribute] in str(caught.value)
    assert str(caught.value.where) == "c.yaml:4"


BRIDGE = "com.docker.network.bridge"
UNBUILT_OF_NETWORKS = {
    "driver: overlay": "network driver 'overlay'",
}


@pytest.mark.parametrize("attribute", UNBUILT_OF_NETWORKS)
def test_what_of_networks_is_unbuilt_is_refused_by_name(attribute: str, tmp_path: Path) -> None:
    text = f"services: {{a: {{image: x, networks: [n]}}}}\nnetworks:\n  n:\n    {attribute}\n"
    with pytest.raises(NotBuiltYetError) as caught:
        load_text(text, label="c.yaml", project_directory=tmp_path, project_name="p", environment={})
    assert UNBUILT_OF_NETWORKS[attribute] in str(caught.value)
    assert isinstance(caught.value.where, Location)
    assert caught.value.where.line == 4


def test_options_of_networks_that_are_so_anyway_are_taken(tmp_path: Path) -> None:
    options = f"{{{BRIDGE}.enable_icc: 'true', com.docker.network.driver.mtu: 1400}}"
    text = f"services: {{a: {{image: x, networks: [n]}}}}\nnetworks: {{n: {{driver_opts: {options}}}}}\n"
    stack = load_text(text, label="c.yaml", project_directory=tmp_path, project_name="p", environment={})
    assert stack.networks[0].mtu == 1400


def test_cycle_is_printed(tmp_path: Path) -> None:
    """Fault row 19."""
    with pytest.raises(DeclarationError, match=r"(b -> c -> b|c -> b -> c)"):
        load_text(FAULTS["cycle"][0], label="c.yaml", project_directory=tmp_path, project_name="p", environment={})


def test_unset_variable_is_empty_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = "services: {a: {image: x, environment: {A: '${GONE}', B: '$GONE'}}}"
    stack = load_text(text, label="c.yaml", project_directory=tmp_path, project_name="p", environment={})
    assert stack.containers[0].environment == {"A": "", "B": ""}
    assert [one.getMessage() for one in caplog.records].count(caplog.records[0].getMessage()) == 1
    assert "GONE is not set" in caplog.text


def test_dotenv_is_under_the_shell(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file ${A}\nCOMPOSE_PROJECT_NAME=named\n")
    (tmp_path / "compose.yaml").write_text("services: {a: {image: x, environment: {A: $A, B: $B}}}")
    stack = load_stack(find_files(tmp_path), environment={"A": "shell"})
    assert stack.name == "named"
    assert stack.containers[0].environment == {"A": "shell", "B": "file shell"}


def test_override_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_text("services: {a: {image: x}}")
    (tmp_path / "compose.override.yml").write_text("services: {a: {image: y}}")
    inner = tmp_path / "inner"
    inner.mkdir()
    assert find_files(inner) == (tmp_path / "compose.yml", tmp_path / "compose.override.yml")
    assert load_stack(find_files(tmp_path), environment={}).containers[0].image == "y"


def test_network_of_another_service_implies_order(tmp_path: Path) -> None:
    text = "services: {a: {image: x, network_mode: 'service:b'}, b: {image: x}}"
    stack = load_text(text, label="c.yaml", project_directory=tmp_path, project_name="p", environment={})
    follower = stack.containers_of("a")[0]
    assert follower.network_mode == "container:p-b-1"
    assert [one.service for one in follower.depends_on] == ["b"]


def test_replicas_labels_and_shared_image(tmp_path: Path) -> None:
    text = "services: {a: {image: nginx, deploy: {replicas: 2}}, b: {image: 'nginx:latest'}}"
    stack = load_text(text, label="c.yaml", project_directory=tmp_path, project_name="p", environment={})
    assert [one.name for one in stack.containers] == ["p-a-1", "p-a-2", "p-b-1"]
    assert stack.containers[1].labels["com.docker.compose.container-number"] == "2"
    assert [one.name for one in stack.images] == ["nginx"]
    assert {one.image for one in stack.containers} == {"nginx"}


def test_anonymous_volume_has_the_same_name_each_time(tmp_path: Path) -> None:
    text = "services: {a: {image: x, volumes: [/data]}}"
    first, second = (
        load_text(text, label="c.yaml", project_directory=tmp_path, project_name="p", environment={}) for _ in "12"
    )
    assert first == second
    assert [one.name for one in first.volumes] == [first.containers[0].mounts[0].source]
