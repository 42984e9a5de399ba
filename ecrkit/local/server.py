"""The embedded ECR on a loopback port: the AWS JSON API and the registry protocol, one engine behind both."""

from __future__ import annotations

import http.server
import json
import logging
import socket
import threading
from email.message import Message
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast
from urllib.parse import urlsplit

from ecrkit.local.aws_json_http import answer_request
from ecrkit.local.faults import ServiceFault
from ecrkit.local.http_bodies import BadRequest, Body
from ecrkit.local.registry_v2 import RegistryV2, Request, ranged
from ecrkit.local.wire import Answer

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine

__all__ = ["LocalServer", "serve"]

_LOG: Final = logging.getLogger(__name__)
_JSON_LIMIT: Final = 64 * 1024 * 1024
"""A layer part has at most 20 MiB, which base64 makes 27."""
_DRAIN: Final = 1024 * 1024
_IDLE: Final = 120.0


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], server: LocalServer) -> None:
        self.owner = server
        self.connections: set[socket.socket] = set()
        self.guard = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer looks the host's name up, which may take seconds where no resolver answers.
        super(http.server.HTTPServer, self).server_bind()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.guard:
            self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self.guard:
            self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 http.server's own signature
        _LOG.debug("a connection of %s ended badly", client_address, exc_info=True)

    def drop_connections(self) -> None:
        with self.guard:
            open_ones = list(self.connections)
        for connection in open_ones:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it is gone already


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "ecrkit"
    sys_version = ""
    # Head and body leave in one packet and at once: with Nagle's algorithm a call takes 44 ms.
    wbufsize = 64 * 1024
    disable_nagle_algorithm = True
    timeout = _IDLE

    def _answer(self) -> None:
        owner = cast("_Listener", self.server).owner
        body: Body | None = None
        try:
            limit = owner.max_body if self.path.startswith("/v2/") else min(owner.max_body, _JSON_LIMIT)
            body = Body(self.rfile, self.headers, limit)
            found = owner.route(self.command, self.path, self.headers, body)
        except BadRequest as problem:
            self.close_connection = True
            found = _json_error(problem.status, "SerializationException", str(problem))
        except Exception:  # noqa: BLE001 a defect must reach the client as an answer and the log as a trace
            _LOG.exception("the embedded ECR failed on %s %s", self.command, self.path)
            self.close_connection = True
            found = _json_error(500, "ServerException", "the embedded ECR failed; its log says where")
        if body is not None and not body.consumed and not self._drain(body):
            self.close_connection = True
        self._send(found)

    @staticmethod
    def _drain(body: Body) -> bool:
        # A refused request whose body stays unread would be read as the next request.
        if body.chunked or body.length > _DRAIN:
            return False
        try:
            body.read()
        except (BadRequest, OSError):
            return False
        return True

    def _send(self, found: Answer) -> None:
        self.send_response(found.status)
        for name, value in found.headers.items():
            if found.status != 204 or name.lower() != "content-length":
                self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(found.body)
        self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 the names http.server looks for

    def handle_expect_100(self) -> bool:
        """Let the client send its body, now and not when the buffer is full."""
        more = super().handle_expect_100()
        self.wfile.flush()
        return more

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 http.server's own name
        """Keep the terminal quiet; the lines go to logging."""
        _LOG.debug(format, *args)


def _json_error(status: int, code: str, message: str) -> Answer:
    body = json.dumps({"__type": code, "message": message}).encode()
    headers = {"Content-Type": "application/x-amz-json-1.1", "Content-Length": str(len(body))}
    return Answer(status=status, headers=headers, body=body)


class LocalServer:
    """A running server; leave the `with` block or call `close` to stop it.

    `url` is the endpoint for AWS clients (`endpoint_url`, `AWS_ENDPOINT_URL_ECR`); `host` is what stands before the
    repository's name for registry clients, as in `docker://HOST/app:v1`.
    """

    def __init__(self, engine: Engine, host: str, port: int, max_body: int) -> None:
        self.engine = engine
        self.max_body = max_body
        self._registry = RegistryV2(engine)
        self._listener = _Listener((host, port), self)
        self._previous_base = engine.download_base
        self.port: int = self._listener.server_port
        self.host = f"{host}:{self.port}"
        self.url = f"http://{self.host}"
        engine.download_base = self.url
        self._closed = False
        self._thread = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.05}, name=f"ecrkit {self.host}", daemon=True
        )
        self._thread.start()

    def route(self, method: str, target: str, headers: Message[str, str], body: Body) -> Answer:
        """Return the answer to one HTTP request."""
        path = urlsplit(target).path
        if path == "/v2" or path.startswith("/v2/"):
            return self._registry.answer(Request(method=method, target=target, headers=headers, body=body))
        if path.startswith("/layers/") and method in ("GET", "HEAD"):
            try:
                return ranged(self.engine.fetch(target), headers.get("Range"), path.rpartition("/")[2])
            except ServiceFault as fault:
                return _json_error(fault.status, fault.code, fault.message)
        if path == "/" and method == "POST":
            return answer_request(
                self.engine,
                headers.get("X-Amz-Target", ""),
                headers.get("Authorization", ""),
                body.read(),
                url=self.url,
            )
        return _json_error(404, "UnknownOperationException", "POST / is the ECR API, /v2/ the registry protocol")

    def close(self) -> None:
        """Stop listening, end open connections and drop unfinished uploads. The engine keeps its contents."""
        if self._closed:
            return
        self._closed = True
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()
        self._listener.drop_connections()
        self._registry.close()
        if self.engine.download_base == self.url:
            self.engine.download_base = self._previous_base

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(
    engine: Engine, *, host: str = "127.0.0.1", port: int = 0, max_body: int = 10 * 1024 * 1024 * 1024
) -> LocalServer:
    """Serve an engine over HTTP and return the running server; port 0 takes a free one.

    One port speaks AWS JSON 1.1, for boto3, the AWS CLI and any other AWS client, and the registry protocol, for
    skopeo, oras, docker and the like. The region of an AWS call is that of its signature's credential scope, the
    account is its access key where that is twelve digits, else the engine's; signatures are not verified. Registry
    clients log in as `AWS` with a password of GetAuthorizationToken, which names this server as `proxyEndpoint`.
    GetDownloadUrlForLayer gives URLs of this server as long as it runs.

    Args:
        engine: what answers.
        host: the address to listen on. Anyone who reaches it can read and write the engine.
        port: the port, 0 for any.
        max_body: the bytes a request body may have; more is answered with 413.

    Raises:
        OSError: the port is taken or the address is not this machine's.

    Example:
        >>> from ecrkit.local import Engine, serve
        >>> with serve(Engine()) as server:
        ...     server.url.startswith("http://127.0.0.1:")
        True
    """
    return LocalServer(engine, host, port, max_body)
