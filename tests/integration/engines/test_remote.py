"""The same life of a stack by addresses of other hosts: OpenSSH to a real sshd, TCP with certificates on both sides."""

import json
import subprocess

import pytest

import sshd
from bayplan.errors import AccessDeniedError, UnavailableError
from bayplan.reconcile.plan import Action
from contract.hosts import eventually, joined

pytestmark = pytest.mark.host
PORT = 2376
STACK = """
services:
  web:
    image: IMAGE
    command: [sh, -c, "echo hello; exec httpd -f -p 80 -h /run/secrets"]
    init: true
    stop_grace_period: 200ms
    environment: {COLOUR: red}
    ports: ["18084:80"]
    secrets: [typed, kept]
    networks: [front]
    volumes: [data:/data]
  db: {image: IMAGE, command: [sleep, "600"], init: true, stop_grace_period: 200ms, networks: [front]}
networks: {front: {}}
volumes: {data: {}}
secrets: {typed: {environment: TYPED}, kept: {file: ./kept.txt}}
"""


@pytest.fixture
def by_ssh(dock, tmp_path, monkeypatch):
    if sshd.MISSING:
        pytest.skip("package openssh-server is not installed")
    with joined(dock.engine), sshd.sshd(tmp_path / "ssh") as (address, path):
        monkeypatch.setenv("PATH", path)
        dock.reopen(engine_address=f"{address}{dock.engine.path}")
        yield dock


@pytest.fixture
def by_tls(dock, tmp_path):
    """The engine listens on a port as well, and takes whoever has a certificate of its authority."""
    certificates(tmp_path / "tls")
    files = [f"--tls{name}={tmp_path}/tls/{file}.pem" for name, file in (("cacert", "ca"), ("cert", "server"))]
    dock.engine.again(
        "--tlsverify", *files, f"--tlskey={tmp_path}/tls/server-key.pem", "--host", f"tcp://127.0.0.1:{PORT}"
    )
    try:
        with joined(dock.engine):
            dock.reopen(engine_address=f"tcp://127.0.0.1:{PORT}", engine_tls=tmp_path / "tls")
            yield dock
    finally:
        dock.engine.again()


def certificates(place):
    """An authority, and keys of it for the server and for a client (as docker's client wants them named)."""
    place.mkdir(exist_ok=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    openssl("req", "-x509", *key, "-keyout", place / "ca-key.pem", "-out", place / "ca.pem", "-subj", "/CN=authority")
    for name, own in (("server", "server-key"), ("cert", "key")):
        request, extensions = place / f"{name}.csr", place / f"{name}.ext"
        openssl("req", *key, "-keyout", place / f"{own}.pem", "-out", request, "-subj", f"/CN={name}")
        extensions.write_text("subjectAltName = IP:127.0.0.1\nextendedKeyUsage = serverAuth, clientAuth\n")
        signed = ["-CA", place / "ca.pem", "-CAkey", place / "ca-key.pem", "-CAcreateserial", "-extfile", extensions]
        openssl("x509", "-req", "-in", request, *signed, "-out", place / f"{name}.pem", "-days", "2")


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("way", ["by_ssh", "by_tls"])
def test_a_stack_lives_on_another_host(way, request, monkeypatch):
    host = request.getfixturevalue(way)
    monkeypatch.setenv("TYPED", "geheim")
    (host.root / "kept.txt").write_text("streng geheim")
    assert {step.action for step in host.apply(STACK).steps} == {Action.CREATE}  # a second plan is empty: apply looks
    assert eventually(lambda: host.fetch("http://127.0.0.1:18084/typed")) == "geheim"
    assert host.sh("web", "cat /run/secrets/kept; echo $COLOUR") == "streng geheimred\n"
    assert len(host.sh("web", "head -c 300000 /dev/zero | tr '\\0' x")) == 300_000
    assert "hello" in [line.text for line in host.runtime.logs(host.name("web"))]
    stack = STACK.replace("COLOUR: red", "COLOUR: blue")
    steps = host.apply(stack).steps
    assert [(step.resource.name, step.action) for step in steps] == [(host.name("web"), Action.RECREATE)]
    assert host.sh("web", "echo $COLOUR") == "blue\n"
    host.runtime.stop(host.name("db"))
    assert [step.action for step in host.apply(stack).steps] == [Action.START]
    assert "geheim" not in json.dumps(host.runtime.inspect(host.name("web")), default=str)
    host.destroy()
    assert list(host.status()) == [f"{host.project}_data"]
    host.destroy(volumes=True)


def test_standard_input_ends_by_ssh(by_ssh):
    by_ssh.apply("services: {web: {image: IMAGE, command: [sleep, '600'], init: true, stop_grace_period: 0s}}")
    command = by_ssh.attached("exec", "web", "cat")
    done = subprocess.run(command, input="through\n", capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "through\n"), done.stderr


def test_who_has_no_certificate_of_the_authority_is_refused(by_tls, tmp_path):
    certificates(tmp_path / "other")
    (tmp_path / "other" / "ca.pem").write_bytes((tmp_path / "tls" / "ca.pem").read_bytes())
    # TLS 1.3 has no moment at which a client hears of it: whether the alert or the end comes first is open.
    with pytest.raises((AccessDeniedError, UnavailableError), match=r"TLS: |the connection failed"):
        by_tls.reopen(engine_tls=tmp_path / "other")
    certificates(tmp_path / "other")
    with pytest.raises(AccessDeniedError, match=r"TLS: .*certificate verify failed"):
        by_tls.reopen(engine_tls=tmp_path / "other")
    by_tls.reopen(engine_tls=tmp_path / "tls")


def test_a_socket_that_is_not_there_is_told(by_ssh):
    address = by_ssh.settings.engine_address
    with pytest.raises(UnavailableError, match=r"nobody answers|connection"):
        by_ssh.reopen(engine_address=f"{address}.missing")
    by_ssh.reopen(engine_address=address)
