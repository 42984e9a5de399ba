"""What the loopback servers of benchmarks share: a process of their own, so that no interpreter lock is shared."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TARGET = "AmazonEC2ContainerRegistry_V20150921."


class Handler(BaseHTTPRequestHandler):
    """Answers over connections that stay open, headers and body in one packet."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def counted(self) -> object:
        """Return what was asked since the last time, ready for JSON, and begin anew."""
        raise NotImplementedError

    def reply(self, operation: str, parameters: dict[str, Any]) -> tuple[int, bytes]:
        """Return the status and body that answer a call."""
        raise NotImplementedError

    def do_GET(self) -> None:
        self._send(200, json.dumps(self.counted()).encode())

    def do_POST(self) -> None:
        parameters = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        self._send(*self.reply(str(self.headers["X-Amz-Target"]).removeprefix(TARGET), parameters))

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def serve_forever(handler: type[Handler]) -> None:
    """Serve on a free port, which is printed, until the process is told to end."""
    server = _Server(("127.0.0.1", 0), handler)
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(server.server_address[1], flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


class Running:
    """The server's address, and what `GET /count` says it has been asked since the last time."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def requests(self) -> Any:
        with urllib.request.urlopen(f"{self.url}/count", timeout=10) as answered:
            return json.loads(answered.read())


@contextmanager
def started(module: str, **options: float) -> Iterator[Running]:
    """Run a module of servers in another process for the length of the block."""
    command = [sys.executable, "-m", module, *(f"--{name}={value}" for name, value in options.items())]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Running(int(process.stdout.readline()))
        finally:
            process.terminate()
            process.wait(10)
