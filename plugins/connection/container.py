# Copyright: the Bayplan contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection into a container."""

from __future__ import annotations

DOCUMENTATION = r"""
name: container
short_description: Tasks within a container
description:
  - Runs commands in a container, and moves files into and out of it, by C(bayplan exec) and C(bayplan cp).
  - The container is one of the native core, of Docker or of Podman, on this machine or on another that OpenSSH reaches.
  - M(ansible.builtin.raw) needs a shell in the image, modules need Python as on any host.
version_added: 0.1.0
author:
  - Bayplan contributors (@bayplan)
requirements:
  - bayplan where the containers are
extends_documentation_fragment:
  - ansible.builtin.connection_pipelining
options:
  remote_addr:
    description: Name of the container.
    type: str
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
      - name: bayplan_container
  remote_user:
    description:
      - User in the container, also C(user:group) and numbers; the image's own when unset.
      - It runs the commands and owns the files that are put there.
    type: str
    vars:
      - name: ansible_user
      - name: bayplan_user
    env:
      - name: ANSIBLE_REMOTE_USER
    ini:
      - section: defaults
        key: remote_user
    keyword:
      - name: remote_user
  bayplan_host:
    description:
      - Where the container is, C([user@]host[:port]); this machine when unset.
      - OpenSSH goes there with the keys and the configuration of who runs Ansible, and asks nothing.
    type: str
    default: ""
    vars:
      - name: bayplan_host
  ssh_args:
    description: More arguments of C(ssh).
    type: str
    default: ""
    vars:
      - name: bayplan_ssh_args
  bayplan_command:
    description: The command there, in words as a shell reads them, such as V(sudo -n /opt/bayplan/bin/bayplan).
    type: str
    default: bayplan
    vars:
      - name: bayplan_command
    env:
      - name: BAYPLAN_COMMAND
  engine:
    description: Who runs the container; O(engine=auto) is who has it.
    type: str
    choices: [native, docker, podman, auto]
    default: auto
    vars:
      - name: bayplan_engine
  engine_address:
    description: Where Docker or Podman answers.
    type: str
    vars:
      - name: bayplan_engine_address
  settings:
    description: Settings of the engine, over its configuration file.
    type: dict
    default: {}
    vars:
      - name: bayplan_settings
  exec_environment:
    description: Variables of each command. Their values are in no argument list.
    type: dict
    default: {}
    vars:
      - name: bayplan_exec_environment
  working_dir:
    description: Directory in which commands start; the image's own when unset.
    type: str
    vars:
      - name: bayplan_working_dir
  command_timeout:
    description: Seconds that one command may take; V(0) is no limit.
    type: int
    default: 0
    vars:
      - name: bayplan_command_timeout
"""

EXAMPLES = r"""
- name: Within a container of this machine
  hosts: shop-web-1
  connection: bayplan.containers.container
  gather_facts: false
  tasks:
    - name: What it runs
      ansible.builtin.raw: ps

- name: Within one of another machine, as another user
  hosts: shop-web-1
  connection: bayplan.containers.container
  vars:
    bayplan_host: root@10.0.0.7
    ansible_user: app
  tasks:
    - name: Who am I
      ansible.builtin.command: id
"""

import json
import os
import shlex
import shutil
import tarfile
import time
from pathlib import Path
from typing import IO

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase, ensure_connect
from ansible_collections.bayplan.containers.plugins.plugin_utils._place import Place, Started, variables

NO_SHELL = (126, 127)
CHUNK = 1 << 20


class Connection(ConnectionBase):
    """One container; nothing is kept open between commands."""

    transport = "bayplan.containers.container"
    has_pipelining = True

    @property
    def name(self) -> str:
        """The container's."""
        return str(self.get_option("remote_addr"))

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def close(self) -> None:
        """Nothing is open."""
        self._connected = False

    def reset(self) -> None:
        """Nothing is open."""
        self.close()

    @ensure_connect
    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a shell command. Raises AnsibleConnectionFailure when the container cannot be reached."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        self._display_command("EXEC", cmd)
        started, said = self._exec([self._play_context.executable or "/bin/sh", "-c", cmd]), (b"", b"")
        if sudoable and self.become and self.become.expect_prompt():
            said = self._answer(started)
        code, out, err = started.end(in_data or b"", self.get_option("command_timeout") or None)
        self._explain(code, err)
        return code, said[0] + out, said[1] + err

    @ensure_connect
    def put_file(self, in_path: str, out_path: str) -> None:
        """Stream a file into the container."""
        super().put_file(in_path, out_path)
        self._display_command("PUT", f"{in_path} TO {out_path}")
        source = Path(os.path.realpath(in_path))
        if not source.is_file():
            raise AnsibleFileNotFound(f"no file to put into {self.name}: {in_path}")
        with source.open("rb") as content:
            started = self._exec(["/bin/sh", "-c", 'cat > "$1"', "sh", out_path])
            self._pour(content, started)
            code, _, err = started.end()
            if code in NO_SHELL:
                content.seek(0)
                code, err = self._put_tar(content, source.stat().st_size, out_path)
        self._moved(code, err, f"put {in_path} into {out_path}")

    @ensure_connect
    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Stream a file out of the container."""
        super().fetch_file(in_path, out_path)
        self._display_command("FETCH", f"{in_path} TO {out_path}")
        with Path(out_path).open("wb") as content:
            code, _, err = self._exec(["/bin/sh", "-c", 'cat < "$1"', "sh", in_path], stdout=content).end()
        if code in NO_SHELL:
            code, err = self._fetch_tar(in_path, out_path)
        self._moved(code, err, f"fetch {in_path}")

    # -- how -------------------------------------------------------------------------------------------------------

    def _start(self, words: list[str], environment: dict[str, str], stdout: IO[bytes] | None = None) -> Started:
        """The command ``bayplan`` where the container is."""
        place = Place(str(self.get_option("bayplan_host") or ""), shlex.split(self.get_option("ssh_args") or ""))
        chosen = {name: self.get_option(name) for name in ("engine", "engine_address")}
        given = variables(self.get_option("settings") or {}, **chosen)
        passed, command = {**given, **environment}, shlex.split(self.get_option("bayplan_command"))
        if command[0] == "sudo" and passed:
            command.insert(1, f"--preserve-env={','.join(passed)}")  # it drops those that it is not told to keep
        return place.start([*command, *words], passed, **({} if stdout is None else {"stdout": stdout}))

    def _exec(self, argv: list[str], stdout: IO[bytes] | None = None) -> Started:
        environment = {name: str(value) for name, value in (self.get_option("exec_environment") or {}).items()}
        words = ["exec", "-T"]
        for option, value in (("-u", self.get_option("remote_user")), ("-w", self.get_option("working_dir"))):
            words += [option, str(value)] if value else []
        for name in environment:
            words += ["-e", name]  # its value comes from the environment of the command
        return self._start([*words, self.name, *argv], environment, stdout)

    def _pour(self, content: IO[bytes], started: Started) -> None:
        while chunk := content.read(CHUNK):
            started.write(chunk)

    def _put_tar(self, content: IO[bytes], size: int, out_path: str) -> tuple[int, bytes]:
        """Into an image without a shell: nobody there could write, so the core does, and root owns it."""
        member = tarfile.TarInfo(Path(out_path).name)
        member.size, member.mode, member.mtime = size, 0o600, int(time.time())
        started = self._start(["cp", "-", f"{self.name}:{Path(out_path).parent}"], {})
        started.write(member.tobuf())
        self._pour(content, started)
        rest = -size % tarfile.BLOCKSIZE
        code, _, err = started.end(b"\0" * (rest + 2 * tarfile.BLOCKSIZE))
        return code, err

    def _fetch_tar(self, in_path: str, out_path: str) -> tuple[int, bytes]:
        started = self._start(["cp", f"{self.name}:{in_path}", "-"], {})
        try:
            with tarfile.open(fileobj=started.process.stdout, mode="r|") as archive, Path(out_path).open("wb") as out:
                for member in archive:
                    if (inner := archive.extractfile(member)) is not None:
                        shutil.copyfileobj(inner, out, CHUNK)
        except tarfile.TarError as error:
            code, _, err = started.end()
            return code or 1, err or str(error).encode()
        code, _, err = started.end()
        return code, err

    def _answer(self, started: Started) -> tuple[bytes, bytes]:
        """Wait for the question for a password and answer it; what was written before, without the question."""
        import selectors

        process, heard = started.process, {"out": b"", "err": b""}
        end = time.monotonic() + (self.get_option("command_timeout") or self._play_context.timeout)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ, "out")
            selector.register(process.stderr, selectors.EVENT_READ, "err")
            while selector.get_map():
                events = selector.select(max(0, end - time.monotonic()))
                if not events:
                    process.kill()
                    process.communicate()
                    raise AnsibleConnectionFailure(f"{self.become.name} did not ask for its password in time")
                for key, _ in events:
                    chunk = os.read(key.fd, CHUNK)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    heard[key.data] += chunk
                both = heard["out"] + heard["err"]
                if self.become.check_success(both):
                    break
                if self.become.check_password_prompt(both):
                    password = self.become.get_option("become_pass", playcontext=self._play_context) or ""
                    started.write(password.encode() + b"\n")
                    return b"", b""
        return heard["out"], heard["err"]

    # -- what went wrong -------------------------------------------------------------------------------------------

    def _explain(self, code: int, err: bytes) -> None:
        """Raise AnsibleConnectionFailure when it was not the command that failed, but the way to it."""
        if code == 255 and self.get_option("bayplan_host"):
            raise AnsibleConnectionFailure(f"ssh to {self.get_option('bayplan_host')}: {_last(err)}")
        if code in (0, *NO_SHELL) and not (code == 127 and b"bayplan" in err):
            return
        text = err.decode(errors="replace")
        if "Error: " not in text and "bayplan" not in text:
            return
        code, out, said = self._start(["inspect", self.name], {}).end()
        try:
            state = json.loads(out)[0]["State"]["Status"] if code == 0 else ""
        except (ValueError, LookupError, TypeError):
            state = ""
        if state != "running":
            raise AnsibleConnectionFailure(f"container {self.name} is {state}" if state else _last(said or out or err))

    def _moved(self, code: int, err: bytes, what: str) -> None:
        if code != 0:
            self._explain(code, err)
            raise AnsibleError(f"cannot {what} in container {self.name}: {_last(err) or code}")

    def _display_command(self, verb: str, text: str) -> None:
        self._display.vvv(f"{verb} {text}", host=self.name)


def _last(err: bytes) -> str:
    return err.decode(errors="replace").strip().removeprefix("Error: ")
