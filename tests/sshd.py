"""A real sshd on loopback, with keys of its own and an ssh that knows them."""

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin")
MISSING = SSHD is None or shutil.which("ssh") is None


@contextmanager
def sshd(root):
    """Address of the server, and the PATH with which ssh logs in there without a question."""
    root.mkdir(exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", root / name], check=True, timeout=60)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (root / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {root}/host\nAuthorizedKeysFile {root}/user.pub\n"
        f"PermitRootLogin prohibit-password\nStrictModes no\nUsePAM no\nPidFile none\n"
    )
    key = (root / "host.pub").read_text()
    (root / "known").write_text(f"[127.0.0.1]:{port} {key}")
    (root / "ssh_config").write_text(f"IdentityFile {root}/user\nUserKnownHostsFile {root}/known\nIdentitiesOnly yes\n")
    (root / "bin").mkdir()
    wrapper = root / "bin/ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {root}/ssh_config "$@"\n')
    wrapper.chmod(0o755)
    privileges = Path("/run/sshd")
    made = not privileges.exists()
    privileges.mkdir(exist_ok=True)
    with (root / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", root / "sshd_config"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while True:
            assert server.poll() is None, (root / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield f"ssh://root@127.0.0.1:{port}", f"{root}/bin:{os.environ['PATH']}"
    finally:
        server.terminate()
        server.wait()
        if made:
            privileges.rmdir()
