"""What stands between Pulumi's questions and the engine: names, secrets, batches, and errors that say nothing."""

import threading
import time
from pathlib import Path

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2

from bayplan.errors import AccessDeniedError
from bayplan.models import Container
from bayplan.pulumi import config, naming, peers, secrecy
from bayplan.pulumi.batches import Batches
from bayplan.pulumi.configuration import Configuration
from bayplan.pulumi.failures import LostError, PartlyMadeError
from bayplan.pulumi.place import Place
from bayplan.pulumi.provider import Provider
from bayplan.pulumi.servicer import Servicer
from bayplan.pulumi.values import UNKNOWN, Secret, decode, encode
from bayplan.system import connections

URN = "urn:pulumi:dev::shop::bayplan:index:Container::web"


class AbortedError(Exception):
    """As gRPC's own ``abort`` raises."""


class Context:
    """What a call tells its caller."""

    def __init__(self):
        self.code = self.text = None
        self.trailing = ()

    def peer(self):
        return ""  # this process

    def abort(self, code, text):
        self.code, self.text = code, text
        raise AbortedError

    def set_trailing_metadata(self, trailing):
        self.trailing = trailing


def test_names_are_of_the_program_and_the_seed():
    first = naming.automatic("web", URN, b"1")
    assert first == naming.automatic("web", URN, b"1")
    assert first != naming.automatic("web", URN, b"2")
    assert naming.automatic("Großer Hafen/1", URN, b"").startswith("Gro-er-Hafen-1-")
    assert len(naming.automatic("x" * 300, URN, b"")) == 128
    assert naming.of_project("My.Shop-1234567") == "my-shop-1234567"
    assert naming.of_project("s" * 80 + "-1234567") == "s" * 55 + "-1234567"


def test_the_user_may_switch_names_off():
    servicer = Servicer()
    servicer._configured = Provider({}, Path(), print)
    request = provider_pb2.CheckRequest(urn=URN, news=encode({"image": "lab/web"}), randomSeed=b"1")
    request.autonaming.mode = request.autonaming.DISABLE
    (wrong,) = servicer.Check(request, Context()).failures
    assert (wrong.property, "automatic names are off" in wrong.reason) == ("name", True)
    request.autonaming.mode, request.autonaming.proposed_name = request.autonaming.ENFORCE, "web-of-mine"
    assert decode(servicer.Check(request, Context()).inputs)["name"] == "web-of-mine"


def test_secrets_are_marked_by_what_they_are():
    given = {"environment": {"DB_PASSWORD": "a", "MODE": "b", "KEY": Secret("c")}, "labels": {"token": "d"}}
    found = secrecy.wrapped(Container, given)
    assert found["environment"] == {"DB_PASSWORD": Secret("a"), "MODE": "b", "KEY": Secret("c")}
    assert found["labels"] == {"token": "d"}
    registries = [{"registry": "r", "username": "u", "password": "p"}]
    assert secrecy.wrapped(Configuration, {"registries": registries})["registries"] == Secret(registries)


def test_a_configuration_is_a_place(monkeypatch):
    monkeypatch.setenv(config.HOST_VARIABLE, "ssh://root@a:2222")
    given = {"workers": "3", "registries": Secret('[{"registry": "r", "username": "u", "password": "hush"}]')}
    read = config.read({**given, "version": "1", "timeout": "2m"})
    assert config.wrong(read) == []
    place = config.place(read)
    assert (place.remote.host, place.timeout_s) == ("a", 120)
    assert place.argv[-3:] == ["--", "a", "bayplan bridge --serve"]
    assert place.settings == {"workers": "3"}
    assert place.credentials == {"r": {"username": "u", "password": "hush"}}
    assert "hush" not in repr(place) + " ".join(place.argv)
    assert config.place(config.read({"host": "local"})).remote is None


class Held:
    """A connection that takes its time, and notes what it was asked."""

    def __init__(self, fails=False):
        self.asked, self.fails = [], fails
        self.place, self.go = Place(), threading.Event()

    def ask(self, verb, options):
        self.asked.append([item["name"] for item in options["resources"]])
        self.go.wait(10)
        if self.fails:
            raise LostError("the bridge ended")
        return {"answers": [{"name": item["name"]} for item in options["resources"]]}


def _all(batches, names):
    found = {}

    def one(index, name):
        try:
            found[index] = batches.ask({"kind": "container", "name": name})["name"]
        except LostError as error:
            found[index] = str(error)

    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(names)]
    for thread in threads:
        thread.start()
    return found, threads


def test_what_comes_meanwhile_is_the_next_batch():
    held = Held()
    batches = Batches(held)
    found, threads = _all(batches, ["first"])
    while not held.asked:
        time.sleep(0.001)
    more, others = _all(batches, ["a", "b", "c", "a"])
    while len(batches._left) < 4:
        time.sleep(0.001)
    held.go.set()
    for thread in (*threads, *others):
        thread.join(10)
    assert {**found, **{key + 10: name for key, name in more.items()}} == {
        0: "first",
        10: "a",
        11: "b",
        12: "c",
        13: "a",
    }
    assert held.asked[0] == ["first"]
    assert sorted(held.asked[1]) == ["a", "b", "c"]
    assert held.asked[2:] == [["a"]]  # two of one name never go together


def test_a_batch_that_is_lost_is_told_to_each():
    held = Held(fails=True)
    held.go.set()
    found, threads = _all(Batches(held), ["a", "b"])
    for thread in threads:
        thread.join(10)
    assert found == {0: "the bridge ended", 1: "the bridge ended"}
    late = Held()
    with pytest.raises(LostError, match="not done within 0s, and still under way"):
        Batches(late).ask({"kind": "container", "name": "a"}, timeout_s=0.01)
    late.go.set()


class Failing:
    """A provider that fails as it is told."""

    def __init__(self, error):
        self.error = error

    def create(self, *_, **__):
        raise self.error


def _created(error):
    servicer, context = Servicer(), Context()
    servicer._configured = Failing(error)
    request = provider_pb2.CreateRequest(urn=URN, properties=encode({"image": "x"}))
    with pytest.raises(AbortedError):
        servicer.Create(request, context)
    return context


def test_an_unforeseen_error_says_where_but_no_value(capsys):
    context = _created(KeyError("hush"))
    assert context.code is grpc.StatusCode.FAILED_PRECONDITION
    assert context.text.startswith("Create: KeyError at pulumi/servicer.py:")
    assert "hush" not in context.text + capsys.readouterr().err


def test_what_is_half_made_is_told_with_what_there_is():
    error = PartlyMadeError("it ended", "web-1", {"state": "exited", "key": Secret("k")}, {"image": "x", "a": UNKNOWN})
    context = _created(error)
    ((key, details),) = context.trailing
    assert key == "grpc-status-details-bin"
    from pulumi.runtime.proto import status_pb2

    partly = provider_pb2.ErrorResourceInitFailed()
    assert status_pb2.Status.FromString(details).details[0].Unpack(partly)
    assert (partly.id, list(partly.reasons)) == ("web-1", ["it ended"])
    assert decode(partly.properties) == {"state": "exited", "key": Secret("k")}
    assert decode(partly.inputs) == {"image": "x", "a": UNKNOWN}


def test_only_an_open_connection_of_an_own_user_is_heard(monkeypatch, tmp_path):
    """By the tables, as on a kernel without inet_diag."""
    table, other = tmp_path / "tcp", tmp_path / "tcp6"
    monkeypatch.setattr(connections, "TABLES", (table, other))
    monkeypatch.setenv("SUDO_UID", "1000")
    peers.check("ipv4:127.0.0.1:8080", 80)  # a host without /proc
    row = "0: 0100007F:{:04X} 0100007F:0050 {} 00000000:00000000 00:00000000 00000000 {} 0 1\n"
    rows = [(8080, "01", 4242), (8081, "05", 0), (8082, "01", 1000), (8083, "01", 0)]
    table.write_text("sl local rem st\n" + "".join(row.format(*one) for one in rows))
    mapped = row.replace("0100007F:", "0000000000000000FFFF00000100007F:")
    other.write_text("sl local rem st\n" + mapped.format(8084, "01", 0))
    for port in (8082, 8083, 8084):
        peers.check(f"ipv4:127.0.0.1:{port}", 80)
    with pytest.raises(AccessDeniedError, match="user 4242 may not ask"):
        peers.check("ipv4:127.0.0.1:8080", 80)
    # Closed already, which the kernel shows as root's; none at all; and one to somewhere else.
    for port, ours in ((8081, 80), (9999, 80), (8083, 81)):
        with pytest.raises(AccessDeniedError, match="somebody who has gone"):
            peers.check(f"ipv4:127.0.0.1:{port}", ours)
