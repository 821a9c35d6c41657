"""Environments compared, and the page of it."""

import json
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from bayplan.errors import DeclarationError, NotFoundError, UnsupportedError
from bayplan.models import Allowance
from bayplan.resolve import report
from bayplan.resolve.compare import compare
from bayplan.resolve.fingerprint import fingerprint
from bayplan.resolve.page import page
from bayplan.resolve.report import Report

WEB = {"services.web.image": "docker.io/library/web:1", "services.web.environment.LEVEL": "info"}
LEVEL = Allowance(path="services.web.environment.LEVEL", why="debug where it is debugged")


def made(declared=None, running=None, allowed=(), host=None):
    declared = WEB if declared is None else declared
    print_ = fingerprint(declared, allowed)
    now = datetime(2026, 1, 2, tzinfo=UTC)
    return Report(
        made_at=now,
        project="shop",
        fingerprint=print_,
        allowed=allowed,
        declared=declared,
        running=running,
        host=host or {},
    )


def told(found):
    return [(item.side, item.path, item.allowed) for item in found.differences]


def test_the_same_is_the_same():
    found = compare({"dev": made(running=WEB), "prod": made(running=WEB)})
    assert (told(found), found.same) == ([], True)


def test_each_difference_has_its_service_field_values_and_rule():
    debug = {**WEB, "services.web.environment.LEVEL": "debug", "services.web.user": "app"}
    found = compare({"dev": made(debug, debug, [LEVEL]), "prod": made(WEB, WEB, [LEVEL])})
    # What runs as it is declared is told once.
    assert told(found) == [
        ("declared", "services.web.environment.LEVEL", True),
        ("declared", "services.web.user", False),
    ]
    level, user = found.differences
    assert (level.service, level.field, level.why) == ("web", "environment.LEVEL", LEVEL.why)
    assert user.values == {"dev": "app", "prod": None}
    assert found.unallowed == (user,)


def test_a_rule_counts_where_every_environment_has_it():
    debug = {**WEB, "services.web.environment.LEVEL": "debug"}
    found = compare({"dev": made(debug, allowed=[LEVEL]), "prod": made(WEB)})
    assert told(found) == [
        ("declared", f"x-bayplan.parity.allow.{LEVEL.path}", False),
        ("declared", LEVEL.path, False),
    ]


def test_what_runs_otherwise_is_told_though_the_declarations_are_equal():
    drifted = {**WEB, "services.web.state": "exited"}
    running = {**WEB, "services.web.state": "running"}
    found = compare({"dev": made(running=running), "prod": made(running=drifted)})
    assert told(found) == [("running", "services.web.state", False)]
    # One environment alone: what it runs is not what it declares.
    older = {**WEB, "services.web.image": "docker.io/library/web:0"}
    found = compare({"file": made(), "prod": made(running=older)})
    assert told(found) == [("running", "services.web.image", False)]
    assert found.differences[0].values == {
        "prod declares": WEB["services.web.image"],
        "prod runs": older["services.web.image"],
    }


def test_hosts_are_compared_where_there_are_some():
    found = compare({"dev": made(host={"engine": "native"}), "prod": made(host={"engine": "docker"}), "file": made()})
    assert told(found) == [("host", "host.engine", False)]
    rule = [Allowance(path="host")]
    assert (
        compare(
            {"a": made(host={"engine": "x"}, allowed=rule), "b": made(host={"engine": "y"}, allowed=rule)}
        ).unallowed
        == ()
    )


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_one_file_and_escapes_every_value():
    evil = '<script>alert("x")</script><img src=x onerror=alert(1)>\'"&'
    declared = {f"services.{evil}.environment.A": evil, f"networks.{evil}": {evil: [evil]}}
    rule = [Allowance(path="networks.*", why=evil), Allowance(path="networks.**", why=evil)]
    found = compare({evil: made(declared, WEB, rule, {evil: evil}), "prod": made(WEB, WEB, rule, {evil: "x"})})
    text = page(found)
    reader = _Reader()
    reader.feed(text)
    assert set(reader.tags) <= {
        *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "strong", "div", "span", "code"),
        *("table", "caption", "thead", "tbody", "tr", "th", "td"),
    }
    names = {name for name, _ in reader.attributes}
    assert names <= {"lang", "charset", "name", "content", "http-equiv", "role", "class", "scope"}
    assert "<script" not in text
    assert any(evil in part for part in reader.text)
    assert "default-src 'none'" in dict(reader.attributes).get("content", "") or "default-src 'none'" in text
    assert "http" not in text.replace("http-equiv", "")  # nothing is loaded from anywhere
    assert 'lang="en"' in text
    assert 'scope="col"' in text
    assert "<caption>" in text


def test_a_kept_report_is_the_same_report(tmp_path):
    one = made(running=WEB, allowed=[LEVEL])
    path = tmp_path / "prod.json"
    path.write_text(one.model_dump_json())
    assert report.load(path) == one


@pytest.mark.parametrize(
    ("text", "error", "what"),
    [
        ("{", DeclarationError, "this is no report"),
        ("[]", DeclarationError, "this is no report of bayplan"),
        (json.dumps({"format": 1}), DeclarationError, "this is no report of bayplan"),
        (json.dumps({"format": 2, "made_by": "9"}), UnsupportedError, "made by bayplan 9"),
        ("[" * 100_000, DeclarationError, "this is no report"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path, text, error, what):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(error, match=what):
        report.load(path)
    with pytest.raises(NotFoundError):
        report.load(tmp_path / "gone.json")
