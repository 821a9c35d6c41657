"""Fault row 27: pulls through a registry that answers as its script says, request by request."""

import hashlib
import json
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bayplan.errors import CorruptStateError, NotFoundError, UnavailableError
from bayplan.models.reference import ImageReference
from bayplan.models.settings import Settings
from bayplan.registry.client import INDEX_TYPES, MANIFEST_TYPES, RegistryClient
from bayplan.registry.limits import Limits

BLOB = bytes(range(256)) * 4000
DIGEST = "sha256:" + hashlib.sha256(BLOB).hexdigest()
PART = {"digest": DIGEST, "size": len(BLOB)}


@pytest.fixture
def faulty(tmp_path):
    """``faulty(step, ...)``: each request is answered by the next step; gives client, reference and what was asked."""
    started = []

    def start(*steps, **limits):
        script, asked = list(steps), []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                asked.append((self.path, self.headers.get("Range")))
                step = script.pop(0) if len(script) > 1 else script[0]
                self.close_connection = True
                step(self)

            def do_POST(self):
                asked.append((self.path, self.rfile.read(int(self.headers["Content-Length"])).decode()))
                self.close_connection = True
                script.pop(0)(self)

            def log_message(self, *arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever).start()
        started.append(server)
        host = f"127.0.0.1:{server.server_port}"
        conf = tmp_path / "registries.conf"
        conf.write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
        short = {"first_wait_s": 0.01, "longest_wait_s": 0.05, "attempts": 4, **limits}
        client = RegistryClient(Settings(registries_conf=(conf,)), Limits(**short))
        return client, ImageReference.parse(f"{host}/app:1"), asked

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def status(code, **headers):
    def step(handler):
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return step


def reset(handler):
    handler.connection.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER: close(2) sends RST
    handler.connection.close()


def body(data, *, cut=None, begin=0, ranges=True, kind="application/octet-stream", told=None):
    def step(handler):
        wanted = handler.headers.get("Range") if ranges else None
        start = int(wanted[6:-1]) if wanted else begin
        handler.send_response(206 if wanted else 200)
        if wanted:
            first = start if told is None else told
            handler.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Length", str(len(data) - start))
        handler.send_header("Content-Type", kind)
        handler.end_headers()
        handler.wfile.write(data[start:cut])

    return step


def blob(client, ref):
    return b"".join(client.fetch_blob(ref, DIGEST, len(BLOB)))


@pytest.mark.parametrize("fault", [status(429, Retry_After="0"), *map(status, (500, 502, 503, 504)), reset])
def test_what_passes_is_asked_again(faulty, fault):
    client, ref, asked = faulty(fault, fault, body(BLOB))
    assert blob(client, ref) == BLOB
    assert len(asked) == 3


@pytest.mark.parametrize("fault", [status(503), reset])
def test_the_tries_are_bounded(faulty, fault):
    client, ref, asked = faulty(fault)
    with pytest.raises(UnavailableError):
        client.manifest(ref)
    assert len(asked) == 4


def test_what_does_not_pass_is_asked_once(faulty):
    client, ref, asked = faulty(status(404))
    with pytest.raises(NotFoundError):
        blob(client, ref)
    assert len(asked) == 1


def test_a_cut_blob_is_resumed_where_it_was_cut(faulty):
    client, ref, asked = faulty(body(BLOB, cut=300_000), body(BLOB, cut=700_000), body(BLOB))
    assert blob(client, ref) == BLOB
    assert [item[1] for item in asked] == [None, "bytes=300000-", "bytes=700000-"]


def test_a_registry_without_ranges_sends_all_again(faulty):
    client, ref, _ = faulty(body(BLOB, cut=300_000), body(BLOB, ranges=False))
    assert blob(client, ref) == BLOB


def test_another_range_or_content_is_no_blob(faulty):
    client, ref, _ = faulty(body(BLOB, cut=300_000), body(BLOB, told=5))
    with pytest.raises(CorruptStateError, match="another range"):
        blob(client, ref)
    client, ref, _ = faulty(body(BLOB, cut=300_000), body(b"x" * len(BLOB)))
    with pytest.raises(CorruptStateError, match="arrived changed"):
        blob(client, ref)
    client, ref, _ = faulty(body(BLOB + b"more"))
    with pytest.raises(CorruptStateError, match="arrived changed"):
        blob(client, ref)


def test_a_blob_that_is_never_whole_ends(faulty):
    client, ref, asked = faulty(body(BLOB, cut=0))
    with pytest.raises(UnavailableError, match=r"was cut"):
        blob(client, ref)
    assert len(asked) == 4


def test_a_transfer_that_crawls_is_cut(faulty):
    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(BLOB)))
        handler.end_headers()
        try:
            for _ in range(100):
                handler.wfile.write(b"x")
                handler.wfile.flush()
                time.sleep(0.02)
        except OSError:
            pass

    client, ref, _ = faulty(drip, rate_window_s=0.05, attempts=1, cuts=0)
    with pytest.raises(UnavailableError, match="slower than"):
        blob(client, ref)
    client, ref, _ = faulty(drip, document_s=0.05, attempts=1)
    with pytest.raises(UnavailableError, match="not there after"):
        client.manifest(ref)


def test_redirects_are_capped(faulty):
    client, ref, asked = faulty(status(307, Location="/v2/app/again"), redirects=3)
    with pytest.raises(UnavailableError, match="too many redirects"):
        client.manifest(ref)
    assert len(asked) == 4


def test_a_foreign_layer_is_asked_of_the_registry_alone(faulty):
    layer = {**PART, "urls": ["http://127.0.0.1:1/elsewhere"], "mediaType": "application/vnd.oci.image.layer.v1.tar"}
    document = json.dumps({"mediaType": MANIFEST_TYPES[0], "config": PART, "layers": [layer]}).encode()
    client, ref, asked = faulty(body(document, kind=MANIFEST_TYPES[0]), body(BLOB))
    client.select(ref)
    assert blob(client, ref) == BLOB
    assert asked[-1][0] == f"/v2/app/blobs/{DIGEST}"


@pytest.mark.parametrize("kind", ["application/json", "text/plain", MANIFEST_TYPES[1]])
def test_a_manifest_is_what_it_was_sent_as(faulty, kind):
    document = json.dumps({"mediaType": MANIFEST_TYPES[0], "config": PART, "layers": []}).encode()
    client, ref, _ = faulty(body(document, kind=kind))
    with pytest.raises(CorruptStateError, match="the document says"):
        client.select(ref)


@pytest.mark.parametrize(
    ("platform", "there", "chosen"),
    [
        ("linux/arm64", [("arm64", "v8"), ("arm", "v7")], 0),
        ("linux/arm64/v8", [("arm", "v7"), ("arm64", None)], 1),
        ("linux/arm/v7", [("arm", "v5"), ("arm", "v6")], 1),
        ("linux/arm", [("arm", "v6"), ("arm", "v7")], 1),
        ("linux/arm/v6", [("arm", "v7"), ("arm", "v5")], 1),
        ("linux/amd64", [("amd64", "v3"), ("amd64", None)], 1),
        ("linux/amd64", [("amd64", "v3")], None),
        ("linux/amd64/v3", [("amd64", None), ("amd64", "v2")], 1),
    ],
)
def test_the_best_variant_that_runs_is_taken(faulty, platform, there, chosen):
    document = json.dumps({"mediaType": MANIFEST_TYPES[0], "config": PART, "layers": []}).encode()
    digest = "sha256:" + hashlib.sha256(document).hexdigest()
    entries = []
    for number, (architecture, variant) in enumerate(there):
        own = {"os": "linux", "architecture": architecture} | ({"variant": variant} if variant else {})
        entries.append({"digest": digest if number == chosen else DIGEST, "platform": own})
    index = json.dumps({"mediaType": INDEX_TYPES[0], "manifests": entries}).encode()
    client, ref, _ = faulty(body(index, kind=INDEX_TYPES[0]), body(document, kind=MANIFEST_TYPES[0]))
    if chosen is None:
        with pytest.raises(NotFoundError, match="no manifest"):
            client.select(ref, platform)
    else:
        assert client.select(ref, platform)[0] == digest


def test_an_identity_token_is_changed_for_an_access_token(faulty, monkeypatch, tmp_path):
    seen = []

    def challenge(handler):
        realm = f"http://{handler.headers['Host']}/token"
        status(401, WWW_Authenticate=f'Bearer realm="{realm}",service="here"')(handler)

    def answered(handler):
        seen.append(handler.headers.get("Authorization"))
        body(b'{"access_token": "short-lived"}')(handler)

    def wanted(handler):
        seen.append(handler.headers.get("Authorization"))
        body(document, kind=MANIFEST_TYPES[0])(handler)

    document = json.dumps({"mediaType": MANIFEST_TYPES[0], "config": PART, "layers": []}).encode()
    client, ref, asked = faulty(challenge, answered, wanted)
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {ref.registry: {"identitytoken": "kept"}}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    client.select(ref)
    assert seen == [None, "Bearer short-lived"]
    sent = asked[1][1]
    assert "grant_type=refresh_token" in sent
    assert "refresh_token=kept" in sent
    assert "scope=repository%3Aapp%3Apull" in sent
