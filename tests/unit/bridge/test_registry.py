"""What a registry is given, and what is refused before anything is done."""

import ctypes
import json
import sys
from pathlib import Path

import pytest

from bayplan.bridge import registry_files as parts
from bayplan.bridge import registry_stack
from bayplan.bridge.rooms import Asked
from bayplan.errors import BayplanError, DeclarationError, NotFoundError
from bayplan.models import Settings
from bayplan.system import programs
from bayplan.system.passwords import bcrypt

KEY = b"k" * 32


def test_users_are_the_same_file_for_the_same_key_and_are_let_in():
    users = {"one": "first", "two": 2}
    text = parts.htpasswd(users, KEY)
    assert text == parts.htpasswd(users, KEY)
    assert text != parts.htpasswd(users, b"another")
    assert "first" not in text
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    for line, password in zip(text.splitlines(), (b"first", b"2"), strict=True):
        kept = line.partition(":")[2].encode()
        assert crypt(password, kept) == kept  # crypt(3): a hash is its own salt


@pytest.mark.parametrize("users", [{"a:b": "x"}, {"": "x"}, {"a": ""}, {"a": "x" * 73}, {"a": "x\0y"}])
def test_a_user_that_could_not_log_in_is_refused(users):
    with pytest.raises(DeclarationError, match="users"):
        parts.htpasswd(users, KEY)


def test_a_salt_stands_where_others_look_for_it():
    """crypt(5), "bcrypt": 22 characters, of which "." is a zero."""
    assert bcrypt(b"word", bytes(16)).startswith(f"$2b$10${'.' * 22}")


def test_further_keys_go_over_those_that_are_made_and_null_takes_one_away():
    over = {"storage": {"filesystem": None, "s3": {"bucket": "b"}}, "log": {"level": "warn"}}
    made = json.loads(parts.config({"config": over, "read_only": True}, KEY))
    assert "filesystem" not in made["storage"]
    assert made["storage"]["s3"] == {"bucket": "b"}
    assert made["storage"]["maintenance"]["readonly"]["enabled"]
    assert made["log"] == {"level": "warn"}
    assert "auth" not in made
    mirror = {"url": "https://registry.example", "username": None, "password": None}
    assert json.loads(parts.config({"mirror": mirror}, KEY))["proxy"] == {"remoteurl": "https://registry.example"}


def test_the_image_of_a_program_has_what_it_is_loaded_with():
    program = Path(sys.executable).resolve()
    rows, contents = parts.image_of(program)
    paths = {row["path"] for row in rows}
    assert {"Dockerfile", f"root{program}", *(f"root{path}" for path in programs.libraries(program))} == paths
    assert any("libc.so" in path for path in paths)
    assert {row["sha256"] for row in rows} == set(contents)
    with pytest.raises(NotFoundError, match="not installed"):
        parts.image_of(Path("/nowhere/registry"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tls_certificate": "/etc/passwd"}, "belong together"),
        ({"tls_client_ca": "/etc/passwd"}, "needs tls_certificate"),
        ({"users": {"a": "b"}, "htpasswd": "/etc/passwd"}, "exclude each other"),
        ({"image": "registry:3", "program": "/bin/true"}, "exclude each other"),
        ({"mirror": {}}, "no url"),
        ({"port": 70000}, "70000"),
        ({"htpasswd": "/nowhere/htpasswd"}, "/nowhere/htpasswd"),
        ({"storage": "/nowhere"}, "no directory"),
    ],
)
def test_contradictions_are_one_sentence(options, said):
    with pytest.raises(BayplanError, match=said):
        registry_stack.refuse_contradictions(Asked("registry", {"name": "reg", **options}, False, Settings(), None))
