"""A web application that counts its visitors in Redis; ``shop.py check`` is its health check."""

import json
import os
import socket
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(os.environ.get("PORT", "8000"))


def store(*words):
    """One command to Redis (RESP): the answer's first line."""
    with socket.create_connection((os.environ.get("STORE", "store"), 6379), timeout=3) as peer:
        parts = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        peer.sendall(f"*{len(words)}\r\n{parts}".encode())
        with peer.makefile("rb") as answer:
            return answer.readline().decode().strip()


class Shop(BaseHTTPRequestHandler):
    """``/`` counts a visitor; ``/health`` asks whether the store is there."""

    def do_GET(self):
        try:
            if self.path == "/health":
                answer = {"store": store("PING").removeprefix("+")}
            else:
                visitors = int(store("INCR", "visitors").removeprefix(":"))
                answer = {"greeting": os.environ["GREETING"], "visitors": visitors, "host": socket.gethostname()}
            self.answer(200, answer)
        except (OSError, ValueError) as error:
            self.answer(503, {"error": f"the store does not answer: {error}"})

    def answer(self, status, content):
        """Send JSON."""
        body = json.dumps(content).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main():
    """Serve, or with ``check`` ask the server beside."""
    if sys.argv[1:] == ["check"]:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=3) as reply:
            sys.exit(0 if reply.status == 200 else 1)
    try:
        ThreadingHTTPServer(("", PORT), Shop).serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
