"""The canonical form of a declaration, its fingerprint, and the rules of what may differ."""

import textwrap
from pathlib import Path

import pytest

from bayplan.errors import DeclarationError
from bayplan.load.compose import load_text
from bayplan.models import Allowance, Pin, Settings
from bayplan.resolve import pins
from bayplan.resolve.canonical import Canon, as_pinned
from bayplan.resolve.fingerprint import fingerprint, rule_for
from bayplan.resolve.lockfile import Lock

A, B = (f"sha256:{digit * 64}" for digit in "ab")
WEB = "docker.io/library/web:1"
STACK = """
services:
  web:
    image: web:1
    environment: {LEVEL: info, DB_PASSWORD: planted-secret}
    volumes: ["./conf:/etc/web:ro", "data:/data"]
    ports: ["80:8080"]
    networks: [back]
    depends_on: [db]
    deploy: {replicas: 2, resources: {limits: {memory: 64M}}}
    configs: [motd]
    secrets: [key]
  db: {image: db, networks: [back]}
networks: {back: {internal: true}}
volumes: {data: {}}
configs: {motd: {content: hello}}
secrets: {key: {environment: KEY}}
x-bayplan:
  parity:
    allow:
      - services.web.environment.LEVEL
      - {path: services.*.deploy.replicas, why: staging is small}
"""


def stack(text=STACK, directory="/srv/shop", name="shop", **environment):
    environment = {"KEY": "planted-key", **environment}
    return load_text(
        textwrap.dedent(text), label="c", project_directory=directory, project_name=name, environment=environment
    )


@pytest.fixture
def load(tmp_path):
    def made(text=STACK, folder="one", **options):
        directory = tmp_path / folder
        (directory / "conf").mkdir(parents=True, exist_ok=True)
        return stack(text, directory, **options)

    return made


def print_of(made):
    return fingerprint(Canon(made).declared(), made.allowed)


def test_places_are_named_as_compose_names_them_without_project_and_directory(load):
    places = Canon(load()).declared()
    assert places["services.web.deploy.replicas"] == 2
    assert places["services.web.resources.memory"] == "64MiB"
    assert places["services.web.environment.LEVEL"] == "info"
    assert places["services.web.volumes./etc/web"]["source"] == "./conf"
    assert places["services.web.volumes./data"]["source"] == "data"
    assert places["services.web.networks.back"] == {}
    assert places["services.web.depends_on.db"] == {}
    assert places["networks.back.internal"] is True
    assert places["services.web.image"] == WEB
    assert not [path for path in places if "labels" in path]


def test_a_declaration_for_a_swarm_has_the_same_places():
    text = """
    services:
      web:
        image: web:1
        environment: {LEVEL: info, API_KEY: planted}
        configs: [motd]
        secrets: [key]
        depends_on: [db]
        deploy: {replicas: 3, labels: {shown: "yes"}}
        volumes: ["data:/data"]
      db: {image: db}
    volumes: {data: {}}
    configs: {motd: {content: hello}}
    secrets: {key: {environment: KEY}}
    """

    def places(name, text=text):
        swarm = Settings(engine="swarm")
        options = {"project_directory": Path("/"), "project_name": name, "environment": {"KEY": "planted"}}
        return Canon(load_text(textwrap.dedent(text), label="c", settings=swarm, **options)).declared()

    found = places("shop")
    assert found["services.web.deploy.replicas"] == 3
    assert found["services.web.environment.API_KEY"] == "********"
    assert found["services.web.secrets.key"]["mode"] == "0444"
    assert found["services.web.volumes./data"]["source"] == "data"
    assert found["services.web.labels.shown"] == "yes"
    assert found["services.web.image"] == WEB
    assert "planted" not in str(found)
    assert fingerprint(found, []) == fingerprint(places("other"), [])
    assert fingerprint(found, []) != fingerprint(places("shop", text.replace("hello", "bye")), [])


def test_the_same_declaration_has_the_same_fingerprint_wherever_it_lies(load):
    one, other = load(folder="one", name="shop"), load(folder="other", name="shop-prod")
    assert print_of(one) == print_of(other)


def test_secrets_are_in_it_by_name_alone(load):
    text = STACK.replace("planted-secret", "another")
    assert print_of(load()) == print_of(load(text, KEY="another-key"))
    assert print_of(load()) != print_of(load(STACK.replace("DB_PASSWORD", "DB_PASSWD")))
    assert "planted" not in str(Canon(load()).declared())


def test_what_may_differ_is_set_apart_and_listed(load):
    first = print_of(load())
    assert first.apart == (
        "services.db.deploy.replicas",
        "services.web.deploy.replicas",
        "services.web.environment.LEVEL",
    )
    assert print_of(load(STACK.replace("info", "debug").replace("replicas: 2", "replicas: 5"))) == first
    for old, new in (("64M", "65M"), ("80:8080", "81:8080"), ("content: hello", "content: bye"), ("- {path", "#")):
        assert print_of(load(STACK.replace(old, new))).digest != first.digest, old


def test_a_lock_is_in_it_and_what_has_none_is_told(load):
    free = print_of(load())
    assert free.unlocked == ("db", "web")
    lock = Lock(images={WEB: Pin(digest=A, platforms={"linux/amd64": A})})
    held = print_of(pins.held(load(), lock, "bayplan.lock")[0])
    assert held.unlocked == ("db",)
    assert held.digest != free.digest


def test_a_digest_of_a_platform_is_that_of_the_lock():
    pin = Pin(digest=A, platforms={"linux/amd64": B})
    assert (as_pinned(B, pin), as_pinned("sha256:other", pin), as_pinned(B, None)) == (A, "sha256:other", B)


@pytest.mark.parametrize(
    ("rule", "path", "allowed"),
    [
        ("services.web.ports", "services.web.ports", True),
        ("services.web.environment", "services.web.environment.LEVEL", True),
        ("services.web.environment.LEV", "services.web.environment.LEVEL", False),
        ("services.*.deploy.replicas", "services.web.deploy.replicas", True),
        ("services.*", "networks.back", False),
        ("services.w*.image", "services.web.image.digest", True),
        ("services.*.replicas", "services.web.deploy.replicas", False),
        ("services.**.replicas", "services.web.deploy.replicas", True),
        ("services.web.deploy.resources.limits.memory", "services.web.resources.memory", True),
        ("services.web.mem_limit", "services.web.resources.memory", True),
        ("services.web.labels.traefik.*", "services.web.labels.traefik.http.port", True),
        ("host", "host.kernel.release", True),
        ("services.web.volumes./data", "services.web.volumes./database", False),
        ("services.(web|db).image", "services.web.image", False),
    ],
)
def test_a_rule_allows_its_places_and_all_below_them(rule, path, allowed):
    assert bool(rule_for(path, [Allowance(path=rule)])) is allowed


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("x-bayplan: {parity: {allow: [web.image]}}", "'web.image' is no place in a declaration"),
        ("x-bayplan: {parity: {allow: [{why: no}]}}", "names no path"),
        ("x-bayplan: {parity: {alow: []}}", "did you mean 'allow'?"),
        ("x-bayplan: {paritty: {}}", "did you mean 'parity'?"),
        ("x-bayplan: {parity: {allow: services.web}}", "must be a list"),
    ],
)
def test_a_rule_that_is_none_is_refused_with_its_line(load, given, what):
    with pytest.raises(DeclarationError) as error:
        load("services: {web: {image: x}}\n" + given)
    assert what in str(error.value)
    assert str(error.value).startswith("c:2")
