"""Hashes of passwords by the C library's crypt(3), as Apache's and the registry's htpasswd files hold them."""

from __future__ import annotations

import base64
import ctypes
import threading

from bayplan.errors import UnsupportedError

MOST_BYTES = 72
"""What bcrypt reads of a password; more would count for nothing."""
_LIBRARIES = ("libcrypt.so.1", "libcrypt.so.2")  # of Debian and Ubuntu; of Fedora
_STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_OWN = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_COST = 10
_lock = threading.Lock()
"""crypt(3) works and answers in one place of the library's (MT-Unsafe); what it answers is copied under this lock."""


def bcrypt(password: bytes, salt: bytes) -> str:
    """The hash (crypt(5), "bcrypt") for a salt of 16 bytes.

    Raises ValueError for a password that bcrypt cannot tell from another, UnsupportedError without the library.
    """
    if not 0 < len(password) <= MOST_BYTES or b"\0" in password:
        raise ValueError(f"a password has 1 to {MOST_BYTES} bytes and no NUL")
    encoded = base64.b64encode(salt).rstrip(b"=").translate(bytes.maketrans(_STANDARD, _OWN))
    function = _crypt()
    with _lock:
        found = function(password, b"$2b$%02d$%s" % (_COST, encoded))
    if not found or not found.startswith(b"$2b$"):  # crypt(3) answers "*0" where it knows no bcrypt
        raise UnsupportedError("crypt(3) of this host knows no bcrypt", hint="give htpasswd, a file made elsewhere")
    return str(found.decode())


def _crypt() -> ctypes._NamedFuncPointer:
    for name in _LIBRARIES:
        try:
            function = ctypes.CDLL(name).crypt
        except OSError:
            continue
        function.argtypes, function.restype = (ctypes.c_char_p, ctypes.c_char_p), ctypes.c_char_p
        return function
    raise UnsupportedError(
        "this host has no libcrypt", hint="install libcrypt1, or give htpasswd, a file made elsewhere"
    )
