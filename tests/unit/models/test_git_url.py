"""Git repositories in Docker's spelling."""

import pytest

from bayplan.models.git_url import GitUrl, parse

HASH = "5b2a3f0c" * 5


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("https://x.example/a/b.git", GitUrl("https://x.example/a/b.git")),
        ("https://x.example/a/b.git#main", GitUrl("https://x.example/a/b.git", "main")),
        ("https://x.example/b.git#:web/app", GitUrl("https://x.example/b.git", "", "web/app")),
        ("http://x.example:8080/b.git#v1.0:web/", GitUrl("http://x.example:8080/b.git", "v1.0", "web")),
        ("git://x.example/b", GitUrl("git://x.example/b")),
        ("ssh://git@x.example:2222/b.git#pull/42/head", GitUrl("ssh://git@x.example:2222/b.git", "pull/42/head")),
        ("git@x.example:a/b.git#main:web", GitUrl("git@x.example:a/b.git", "main", "web")),
        ("github.com/a/b#main", GitUrl("https://github.com/a/b.git", "main")),
        (f"https://x.example/b.git#{HASH}", GitUrl("https://x.example/b.git", HASH)),
        ("https://x.example/b.git?branch=main&subdir=web", GitUrl("https://x.example/b.git", "refs/heads/main", "web")),
        (
            "git@x.example:b.git?tag=v1&submodules=false",
            GitUrl("git@x.example:b.git", "refs/tags/v1", submodules=False),
        ),
        (f"git://x.example/b?tag=v1&commit={HASH}", GitUrl("git://x.example/b", "refs/tags/v1", checksum=HASH)),
        (f"git://x.example/b?commit={HASH}", GitUrl("git://x.example/b", HASH)),
    ],
)
def test_an_address_says_what_is_meant(text, wanted):
    found = parse(text)
    assert found == wanted
    assert parse(str(found)) in (wanted, GitUrl(**{**vars(wanted), "checksum": ""}))


@pytest.mark.parametrize(
    "text",
    [".", "/srv/app", "./git@x", "../b.git", "https://x.example/a.tar.gz", "https://x.example/a.git/file", "a b"],
)
def test_what_is_no_repository(text):
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("https://user:word@x.example/b.git", "GIT_AUTH_TOKEN"),
        ("https://token@x.example/b.git", "GIT_AUTH_TOKEN"),
        ("ssh://-oProxyCommand=x/b.git", "no address"),
        ("git://x.example", "no address"),
        ("git://x.example/b#--upload-pack=x", "no branch, tag or commit"),
        ("git://x.example/b#a..b", "no branch, tag or commit"),
        ("git://x.example/b#a b", "no branch, tag or commit"),
        ("git://x.example/b#main:../../etc", "leads out"),
        ("git://x.example/b?branch=a&tag=b", "exclude each other"),
        ("git://x.example/b?depth=1", "'depth' is none of"),
        ("git://x.example/b?ref=a#b", "said twice"),
        ("git://x.example/b?checksum=x", "no commit's hash"),
        ("git@x.example:-b", "not of the form"),
    ],
)
def test_what_cannot_be_used_is_refused(text, says):
    with pytest.raises(ValueError, match=says):
        parse(text)


def test_the_host_is_the_one_that_is_asked():
    hosts = [parse(text).host for text in ("https://x.example:8443/b.git", "ssh://git@y.example/b", "git@z.example:b")]
    assert hosts == ["x.example:8443", "y.example", "z.example"]
