"""Git repositories of tests, served by git's own daemon, or as plain files over http."""

import os
import socket
import subprocess
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WHO = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@x.example"}
WHO |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@x.example"}


class Repository:
    """A repository with a work tree below ``top``."""

    def __init__(self, top, name):
        self.path = top / name
        self.path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments):
        environment = {**os.environ, **WHO, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        argv = ["git", "-c", "protocol.file.allow=always", *arguments]
        done = subprocess.run(argv, cwd=self.path, env=environment, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, **files):
        """Commit files; a double underscore in a name is a slash. Gives the hash."""
        for name, text in files.items():
            path = self.path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=x")
        self.git("update-server-info")
        return self.git("rev-parse", "HEAD")


class Daemon:
    """``git daemon`` on loopback, for all repositories below ``top``."""

    def __init__(self, top):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        argv = [
            "git",
            "daemon",
            "--export-all",
            f"--base-path={top}",
            "--listen=127.0.0.1",
            f"--port={port}",
            "--reuseaddr",
        ]
        self._process = subprocess.Popen([*argv, str(top)], stderr=subprocess.DEVNULL)
        self.url = f"git://127.0.0.1:{port}"
        while not _answers(port):
            assert self._process.poll() is None
            time.sleep(0.02)

    def close(self):
        # git starts the daemon as its child, and leaves it when it is ended.
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in (*children, self._process.pid):
            os.kill(int(pid), 15)
        self._process.wait()


def _answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


class PlainFiles:
    """A web server on loopback that gives the files below ``top``; with ``header`` only to who sends that."""

    def __init__(self, top, header=None):
        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=str(top))

            def do_GET(self):
                if header is not None and self.headers.get("Authorization") != header:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="x"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                else:
                    super().do_GET()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
