"""The admission server: the WSGI application on cheroot, over TLS 1.3, with bounded workers and a graceful end."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from math import ceil
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from ecrkit.admission.logs import LOGGER
from ecrkit.admission.tls import TlsFiles, TlsSource
from ecrkit.admission.wsgi import CLIENT_CERTIFICATE, Application
from ecrkit.errors import InvalidInput, MissingExtra, Problem

if TYPE_CHECKING:
    from cheroot.wsgi import Server

__all__ = ["AdmissionServer", "ServerOptions"]

_HEADERS: Final = 16 * 1024
_HANDSHAKE: Final = 3.0


@attrs.frozen(kw_only=True)
class ServerOptions:
    """How the server is reached and bounded.

    `threads` answer requests, `waiting` connections queue for them. `idle_seconds` ends a connection that sends
    nothing. When stopping, the server answers on for `drain_seconds` while it says that it is not ready, so that no
    new request finds it gone, and then gives those under way `stop_seconds`.

    Raises:
        InvalidInput: an option is out of range; all problems are named.
    """

    host: str = "0.0.0.0"  # noqa: S104 - a server of a cluster is there to be reached
    port: int = 8443
    threads: int = 16
    waiting: int = 64
    idle_seconds: float = 10.0
    drain_seconds: float = 5.0
    stop_seconds: float = 10.0

    def __attrs_post_init__(self) -> None:
        least = {"port": 0, "threads": 1, "waiting": 1, "idle_seconds": 1, "drain_seconds": 0, "stop_seconds": 0}
        problems = [
            Problem(f"$.{name}", f"must be at least {low}, not {getattr(self, name)!r:.40}")
            for name, low in least.items()
            if isinstance(getattr(self, name), bool) or not getattr(self, name) >= low
        ]
        if self.port > 65535:
            problems.append(Problem("$.port", "must be at most 65535"))
        if problems:
            raise InvalidInput("no options of a server", problems)


class AdmissionServer:
    """Serves the application until it is stopped. Use it as a context manager, or `start` and `stop` it.

    Without TLS files it speaks plain HTTP, for a proxy on the same machine; Gatekeeper and the API server want TLS.

    Raises:
        MissingExtra: cheroot is not installed.
        InvalidInput: the TLS files cannot be used.
    """

    def __init__(self, app: Application, *, tls: TlsFiles | None = None, options: ServerOptions | None = None) -> None:
        self.app = app
        self.options = options if options is not None else ServerOptions()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._server = _cheroot(app, self.options, None if tls is None else TlsSource(tls))
        app.readiness.ready = False

    @property
    def port(self) -> int:
        """The port it listens on, also when port 0 left the choice to the machine."""
        return int(self._server.bind_addr[1])

    def start(self) -> None:
        """Bind and serve in a thread of its own; return when requests are answered.

        Raises:
            OSError: the address is taken, or may not be bound.
        """
        self._server.prepare()
        self._thread = threading.Thread(target=self._server.serve, name="ecrkit-admission-server", daemon=True)
        self._thread.start()
        self.app.readiness.ready = True
        LOGGER.info("serving", extra={"port": self.port, "tls": self._server.ssl_adapter is not None})

    def stop(self) -> None:
        """Say "not ready", answer on while the cluster takes note, finish what is under way, and end."""
        self.app.readiness.ready = False
        if self._thread is None:
            return
        LOGGER.info("draining")
        self._stopping.wait(self.options.drain_seconds)
        self._server.stop()
        self._thread.join(self.options.stop_seconds)
        self._thread = None
        LOGGER.info("stopped")

    def hurry(self) -> None:
        """End the draining at once; for a second signal, and for tests."""
        self._stopping.set()

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()


def _cheroot(app: Application, options: ServerOptions, tls: TlsSource | None) -> Server:
    try:
        from cheroot.makefile import StreamReader, StreamWriter
        from cheroot.server import HTTPConnection
        from cheroot.ssl import Adapter
        from cheroot.wsgi import Server
    except ImportError:
        raise MissingExtra("cheroot", extra="admission") from None

    class LateHandshake(HTTPConnection):  # type: ignore[misc, unused-ignore]
        """Shakes hands in a worker: a client that is slow about it would hold up every other one in the acceptor."""

        _greeted = False

        def communicate(self) -> bool:
            if not self._greeted and isinstance(self.socket, ssl.SSLSocket):
                self.socket.settimeout(min(_HANDSHAKE, options.idle_seconds))
                try:
                    self.socket.do_handshake()
                except OSError as fault:
                    LOGGER.info("no TLS with a client", extra={"reason": type(fault).__name__})
                    return False
                self.socket.settimeout(options.idle_seconds)
                self.ssl_env = {**(self.ssl_env or {}), CLIENT_CERTIFICATE: bool(self.socket.getpeercert())}
            self._greeted = True
            return bool(super().communicate())  # type: ignore[no-untyped-call, unused-ignore]

    class Tls(Adapter):  # type: ignore[misc, unused-ignore]
        def __init__(self, source: TlsSource) -> None:
            self._source = source

        def bind(self, sock: socket.socket) -> socket.socket:
            return sock

        def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, Any]]:
            wrapped = self._source.context().wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            return wrapped, self.get_environ()

        def get_environ(self) -> dict[str, Any]:
            return {"wsgi.url_scheme": "https", "HTTPS": "on"}

        def makefile(self, sock: socket.socket, mode: str = "r", bufsize: int = -1) -> object:
            return (StreamReader if "r" in mode else StreamWriter)(sock, mode, bufsize)

    class Quiet(Server):  # type: ignore[misc, unused-ignore]
        """Logs as everything here does: cheroot's own texts and traces may quote a request."""

        ConnectionClass = LateHandshake

        def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
            LOGGER.log(level, "HTTP server", exc_info=traceback, extra={"reason": type(msg).__name__})

    made = Quiet(
        (options.host, options.port),
        app,
        numthreads=options.threads,
        max=options.threads,
        request_queue_size=options.waiting,
        accepted_queue_size=options.waiting,
        accepted_queue_timeout=1,
        timeout=ceil(options.idle_seconds),
        shutdown_timeout=ceil(options.stop_seconds),
        server_name="ecrkit-admission",
    )
    made.max_request_header_size = _HEADERS
    made.max_request_body_size = app.body_bytes
    if tls is not None:
        made.ssl_adapter = Tls(tls)
    return made
