"""The default filter, loaded into a process of its own: what the kernel then answers."""

import base64
import errno
import json
import subprocess
import sys

import pytest

from bayplan.runtime.native.containers import seccomp
from bayplan.runtime.native.containers.spec.isolation import DEFAULT_CAPABILITIES

TRY = """
import base64, ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
program = base64.b64decode(sys.argv[1])
class Fprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))
fprog = Fprog(len(program) // 8, program)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(fprog), 0, 0) == 0
found = []
for number, *arguments in json.loads(sys.argv[2]):
    ctypes.set_errno(0)
    done = libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, arguments))
    found.append(ctypes.get_errno() if done < 0 else 0)
print(json.dumps(found))
"""
UNIX, INET, ALG, NFC, VSOCK, STREAM = 1, 2, 38, 39, 40, 1
HIGH = 1 << 32


@pytest.fixture(scope="module")
def numbers():
    return seccomp.library().names()


def answers(tmp_path, calls, capabilities=DEFAULT_CAPABILITIES):
    program = seccomp.filter_for(capabilities, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", TRY, program, json.dumps(calls)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_sockets_to_the_kernel_s_ciphers_and_to_the_hypervisor_are_refused(tmp_path, numbers):
    """AF_ALG and AF_VSOCK, also with upper bits that the kernel does not look at."""
    call = numbers["socket"]
    families = [ALG, VSOCK, ALG + HIGH, VSOCK + HIGH, UNIX, INET, UNIX + HIGH]
    found = answers(tmp_path, [(call, family, STREAM, 0) for family in families])
    assert found == [errno.EAFNOSUPPORT] * 4 + [0, 0, 0]


def test_old_execution_domains_are_refused(tmp_path, numbers):
    call = numbers["personality"]
    found = answers(tmp_path, [(call, value) for value in (0xFFFFFFFF, 0x8, 0x0, 0x0400000, 0x7, HIGH + 0x7)])
    assert found == [0, 0, 0, errno.ENOSYS, errno.ENOSYS, errno.ENOSYS]


def test_files_stay_in_the_project_that_limits_them(tmp_path, numbers):
    """FS_IOC_FSSETXATTR and FS_IOC_SETFLAGS take a file out of its project, and so past the size of its volume."""
    call, not_there = numbers["ioctl"], 999
    requests = [0x401C5820, 0x40086602, 0x401C5820 + HIGH, 0x40086602 + HIGH]
    others = [0x801C581F, 0x80086601, 0x5413, 0x401C5821, 0xFFFFFFFF, 0, HIGH]
    found = answers(tmp_path, [(call, not_there, request, 0) for request in (*requests, *others)])
    assert found == [errno.EOPNOTSUPP] * 4 + [errno.EBADF] * 7
    more = answers(tmp_path, [(call, not_there, request, 0) for request in requests], {"SYS_RESOURCE"})
    assert more == [errno.EBADF] * 4


def test_what_needs_a_capability_is_not_permitted_without_it(tmp_path, numbers):
    names = ["mount", "bpf", "kexec_load", "add_key", "userfaultfd", "perf_event_open", "open_by_handle_at", "unshare"]
    assert answers(tmp_path, [(numbers[name], 0, 0, 0, 0, 0) for name in names]) == [errno.EPERM] * len(names)


def test_calls_that_nobody_has_reviewed_do_not_exist(tmp_path):
    """A newer libseccomp knows more names; that alone allows nothing."""
    assert max(seccomp.library().names().values()) < seccomp._REVIEWED
    found = answers(tmp_path, [(number, 0) for number in (467, 470, 600, 1000)])
    assert found == [errno.ENOSYS] * 4


def test_what_is_compiled_is_what_other_runtimes_are_told(tmp_path, numbers):
    section = seccomp.section(DEFAULT_CAPABILITIES)
    plain = {name for rule in section["syscalls"] if not rule.get("args") for name in rule["names"]}
    compared = {name for rule in section["syscalls"] if rule.get("args") for name in rule["names"]}
    assert compared == {"socket", "personality", "ioctl", "clone"}
    assert plain | compared | seccomp._NO_SUCH_CALL == set(numbers)
    refused = [rule for rule in section["syscalls"] if rule["action"] == "SCMP_ACT_ERRNO" and rule.get("args")]
    values = [(rule["args"][0]["valueTwo"], rule["errnoRet"]) for rule in refused]
    assert values == [(0x401C5820, 95), (0x40086602, 95), (ALG, 97), (VSOCK, 97)]
    assert base64.b64decode(seccomp.filter_for(DEFAULT_CAPABILITIES, tmp_path))


def test_who_only_asks_whether_there_can_be_a_filter_leaves_none(tmp_path):
    cache = tmp_path / "seccomp"
    checked = seccomp.filter_for(DEFAULT_CAPABILITIES, cache, keep=False)
    assert not cache.exists()
    assert seccomp.filter_for(DEFAULT_CAPABILITIES, cache) == checked
    assert len(list(cache.iterdir())) == 1
