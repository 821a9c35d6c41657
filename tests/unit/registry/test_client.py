"""The client against a registry on loopback that answers what it is told to."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bayplan.errors import BayplanError, CorruptStateError, NotFoundError, UnavailableError
from bayplan.models.reference import ImageReference
from bayplan.models.settings import Settings
from bayplan.registry.addresses import joined
from bayplan.registry.client import INDEX_TYPES, MANIFEST_TYPES, RegistryClient
from bayplan.registry.limits import Limits
from bayplan.registry.mirrors import Endpoint
from bayplan.registry.tokens import Scope

DIGEST = "sha256:" + "1" * 64
QUICK = Limits(attempts=2, first_wait_s=0.01, longest_wait_s=0.05)
PART = {"digest": DIGEST, "size": 1}
IMAGE = {"mediaType": MANIFEST_TYPES[0], "config": PART, "layers": [PART]}


@pytest.fixture
def serve(tmp_path):
    """Start a registry that gives each path its (status, headers, body); returns client and reference."""
    started = []

    def start(answers, *, seen=None):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.partition("?")[0]
                status, headers, body = answers.get(path, (404, {}, b""))
                if seen is not None:
                    seen.append((self.path, self.headers.get("Authorization")))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        started.append((server, thread))
        host = f"127.0.0.1:{server.server_port}"
        conf = tmp_path / "registries.conf"
        conf.write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
        return RegistryClient(Settings(registries_conf=(conf,)), QUICK), ImageReference.parse(f"{host}/app:1")

    yield start
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


def manifest(document, kind=MANIFEST_TYPES[0]):
    return {"/v2/app/manifests/1": (200, {"Content-Type": kind}, json.dumps(document).encode())}


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (IMAGE, INDEX_TYPES[0]),
        ({**IMAGE, "manifests": []}, MANIFEST_TYPES[0]),
        ({"config": PART, "layers": []}, INDEX_TYPES[0]),
        ({"manifests": []}, MANIFEST_TYPES[0]),
        ({**IMAGE, "config": {"digest": "../../x", "size": 1}}, MANIFEST_TYPES[0]),
        ({**IMAGE, "config": {"digest": DIGEST, "size": 1 << 40}}, MANIFEST_TYPES[0]),
        ({**IMAGE, "layers": [{"digest": DIGEST, "size": "many"}]}, MANIFEST_TYPES[0]),
        ({**IMAGE, "layers": 5}, MANIFEST_TYPES[0]),
        ({"manifests": [{"digest": "../x", "platform": {"os": "linux", "architecture": "z"}}]}, INDEX_TYPES[0]),
    ],
)
def test_an_ambiguous_or_malformed_manifest_is_refused(serve, document, kind):
    client, ref = serve(manifest(document, kind))
    with pytest.raises(CorruptStateError):
        client.resolve(ref, "linux/z")


def test_a_whole_manifest_is_taken(serve):
    client, ref = serve(manifest(IMAGE))
    assert client.resolve(ref) == ("sha256:" + hashlib.sha256(json.dumps(IMAGE).encode()).hexdigest(), 2)


@pytest.mark.parametrize("status", [401, 302])
@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest",
        "http://user@169.254.169.254/latest",
        "http://[fe80::1]/token",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "http://0xa9.0xfe.0251.254/",
        "http://169.254.43518/",
        "http://[broken/",
    ],
)
def test_a_registry_cannot_send_the_client_to_a_link_local_address(serve, address, status):
    headers = {"WWW-Authenticate": f'Bearer realm="{address}"', "Location": address}
    client, ref = serve({"/v2/app/manifests/1": (status, headers, b"")})
    with pytest.raises(UnavailableError, match=r"link-local|malformed address"):
        client.resolve(ref)


def test_a_token_that_is_no_header_value_is_not_sent(serve):
    answers = {"/token": (200, {}, json.dumps({"token": "a\r\nX: y"}).encode())}
    client, ref = serve(answers)
    realm = f"http://{ref.registry}/token"
    answers["/v2/app/manifests/1"] = (401, {"WWW-Authenticate": f'Bearer realm="{realm}"'}, b"")
    with pytest.raises(BayplanError, match="access is denied"):
        client.resolve(ref)


def test_credentials_stay_with_their_origin_and_a_cut_manifest_is_named(serve):
    elsewhere, seen = [], []
    _, other = serve(manifest(IMAGE), seen=elsewhere)
    answers = {"/token": (200, {}, b'{"token": "secret"}')}
    client, ref = serve(answers, seen=seen)
    realm = f"http://{ref.registry}/token"
    challenge = {"WWW-Authenticate": f'Bearer realm="{realm}"'}
    answers["/v2/app/manifests/1"] = (401, challenge, b"")
    with pytest.raises(BayplanError):
        client.resolve(ref)
    assert seen[-1] == ("/v2/app/manifests/1", "Bearer secret")
    answers["/v2/app/manifests/1"] = (307, {"Location": f"http://{other.registry}/v2/app/manifests/1"}, b"")
    assert client.resolve(ref)[1] == 2
    assert (seen[-1][1], elsewhere[-1][1]) == ("Bearer secret", None)
    answers["/v2/app/manifests/1"] = (200, {"Content-Length": "500"}, b"{")
    with pytest.raises(UnavailableError, match="was cut"):
        client.resolve(ref)


def test_a_mirror_that_has_no_such_image_is_told_even_when_the_place_itself_is_away(serve, tmp_path):
    _, reference = serve({})
    conf = tmp_path / "mirror.conf"
    mirror = f'[[registry.mirror]]\nlocation = "{reference.registry}"\ninsecure = true\n'
    conf.write_text(f'[[registry]]\nlocation = "127.0.0.1:1"\ninsecure = true\n{mirror}')
    client = RegistryClient(Settings(registries_conf=(conf,)))
    with pytest.raises(
        NotFoundError, match=r"gone:1 does not exist \(check its name and tag; registry [^ ]+ did not answer\)"
    ):
        client.resolve(ImageReference.parse("127.0.0.1:1/gone:1"))


@pytest.mark.parametrize("address", ["http://127.0.0.1/token", "HTTP://registry.example/token", "//a:80/", "ftp://a/"])
def test_a_registry_of_https_cannot_send_the_client_to_plain_http(address):
    """The realm of a challenge, and where a redirect or an upload leads."""
    end = Endpoint("registry.example", "app")
    if address.startswith("//"):
        assert joined("https://registry.example/v2/", address, end).startswith("https://")
        return
    with pytest.raises(UnavailableError, match=r"plain HTTP|malformed"):
        joined("https://registry.example/v2/", address, end)


def test_another_host_that_the_registry_leads_to_gets_no_credentials(serve, tmp_path, monkeypatch):
    """Its challenge would name where they go (CVE-2020-15157)."""
    elsewhere = []
    foreign = {"/token": (200, {}, b'{"token": "theirs"}')}
    _, other = serve(foreign, seen=elsewhere)
    for scheme in ("Basic", f'Bearer realm="http://{other.registry}/token"'):
        foreign["/v2/app/manifests/1"] = (401, {"WWW-Authenticate": scheme}, b"")
        client, ref = serve(
            {"/v2/app/manifests/1": (307, {"Location": f"http://{other.registry}/v2/app/manifests/1"}, b"")}
        )
        (tmp_path / "auth.json").write_text(json.dumps({"auths": {ref.registry: {"username": "me", "password": "p"}}}))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
        with pytest.raises(NotFoundError, match="access is denied"):
            client.resolve(ref)
    assert elsewhere == [("/v2/app/manifests/1", None)] * 2


def test_an_upload_that_is_elsewhere_gets_no_credentials(serve, tmp_path, monkeypatch):
    elsewhere, seen, scope = [], [], Scope("app", "pull,push")
    foreign = {"/up": (200, {}, b"")}
    _, other = serve(foreign, seen=elsewhere)
    client, ref = serve({"/up": (401, {"WWW-Authenticate": "Basic"}, b"")}, seen=seen)
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {ref.registry: {"username": "me", "password": "p"}}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    (end,) = client.endpoints(ref)
    client.transport.request(end, "GET", f"http://{ref.registry}/up", scope).close()
    assert [item[1] is None for item in seen] == [True, False]
    for given in ((200, {}, b""), (401, {"WWW-Authenticate": "Basic"}, b"")):
        foreign["/up"] = given
        client.transport.request(end, "GET", f"http://{other.registry}/up", scope).close()
    assert elsewhere == [("/up", None)] * 2


@pytest.mark.parametrize("config", [b"{", b"[]", b"[" * 100_000])
def test_a_configuration_that_is_none_is_refused(serve, config):
    part = {"digest": f"sha256:{hashlib.sha256(config).hexdigest()}", "size": len(config)}
    document = {**IMAGE, "config": part}
    client, ref = serve({**manifest(document), f"/v2/app/blobs/{part['digest']}": (200, {}, config)})
    with pytest.raises(CorruptStateError, match="the configuration is no JSON"):
        client.config(ref, document)


def test_a_challenge_is_answered_once(serve, tmp_path, monkeypatch):
    """Fault row 27: a registry that refuses credentials, again and again, is not asked without end."""
    seen = []
    client, ref = serve({"/v2/app/manifests/1": (401, {"WWW-Authenticate": "Basic"}, b"")}, seen=seen)
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {ref.registry: {"username": "me", "password": "p"}}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    with pytest.raises(NotFoundError, match="access is denied"):
        client.resolve(ref)
    assert [item[1] is None for item in seen] == [True, False]


@pytest.mark.parametrize(
    ("host", "why", "what_next"),
    [
        ("nowhere.invalid", "cannot be reached: no address is known for its name (", "name servers"),
        ("127.0.0.1:1", "cannot be reached: Connection refused (", "is it running"),
    ],
)
def test_a_registry_that_is_away_is_told_in_a_sentence(tmp_path, host, why, what_next):
    conf = tmp_path / "registries.conf"
    conf.write_text("")
    client = RegistryClient(Settings(registries_conf=(conf,)), Limits(attempts=1))
    with pytest.raises(UnavailableError) as found:
        client.resolve(ImageReference.parse(f"{host}/app:1"))
    assert f"registry {host}: " in str(found.value)
    assert why in str(found.value)
    assert what_next in found.value.hint
