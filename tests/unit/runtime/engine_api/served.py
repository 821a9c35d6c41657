"""A real server on a socket that answers what a test wants."""

import socket
import threading
from contextlib import contextmanager

from bayplan.runtime.engine_api.transport import Transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def serving(path, *lives):
    """A server whose connections live so: each a list of answers, then it is closed."""
    asked = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve():
            for answers in lives:
                connection, _ = server.accept()
                with connection:
                    for answer in answers:
                        asked.append(connection.recv(1 << 16))
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        transport = Transport(f"unix://{path}")
        yield transport, asked, thread
        transport.close()
