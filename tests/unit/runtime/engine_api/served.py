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
                try:
                    connection, _ = server.accept()
                except OSError:
                    return  # it is over, and nobody has connected again
                with connection:
                    for answer in answers:
                        asked.append(connection.recv(1 << 16))
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        transport = Transport(f"unix://{path}")
        try:
            yield transport, asked, thread
        finally:
            transport.close()
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)
