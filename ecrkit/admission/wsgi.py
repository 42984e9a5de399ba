"""The WSGI application: three protocols, liveness, readiness and metrics, with bounds on everything that comes in.

Source: PEP 3333; Kubernetes documentation, Dynamic Admission Control (the API server adds `?timeout=10s`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import IO, Any, Final, cast
from urllib.parse import parse_qsl

import attrs

from ecrkit.admission import admission_review, gatekeeper, kyverno
from ecrkit.admission.decisions import Decision, Question
from ecrkit.admission.logs import LOGGER
from ecrkit.admission.manifests.paths import ADMIT_PATH, GATEKEEPER_PATH, KYVERNO_PATH, LIVE_PATH, READY_PATH
from ecrkit.admission.metrics import AdmissionMetrics
from ecrkit.admission.service import VerdictService
from ecrkit.admission.strict_json import ProtocolError, Reply, refuse

__all__ = ["CLIENT_CERTIFICATE", "Application", "Readiness", "application"]

StartResponse = Callable[..., object]
ReplyTo = Callable[..., Reply]

CLIENT_CERTIFICATE: Final = "ecrkit.client_certificate"
"""Key of the WSGI environment that is true when the TLS layer verified a certificate of the client."""

HEALTH_PATH: Final = "/healthz"
METRICS_PATH: Final = "/metrics"
_PROTOCOLS: Final[dict[str, tuple[str, ReplyTo, Callable[[str, int], Reply]]]] = {
    GATEKEEPER_PATH: ("gatekeeper", gatekeeper.reply_to, gatekeeper.error_reply),
    ADMIT_PATH: ("admit", admission_review.reply_to, admission_review.error_reply),
    KYVERNO_PATH: ("kyverno", kyverno.reply_to, kyverno.error_reply),
}
_MOST_QUERY: Final = 1024
_SECONDS: Final = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,9})?)(ms|s|m)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}
# What is left for the way back once the caller's own time-out is known.
_SHARE: Final = 0.8


@attrs.define
class Readiness:
    """Whether the server wants requests: not before it has started, and no more once it is stopping."""

    ready: bool = True


def _names(values: Iterable[str]) -> frozenset[str]:
    return frozenset(values)


@attrs.frozen(kw_only=True)
class Application:
    """The protocols over a verdict service, as a WSGI application; `application` makes one.

    POST `/v1/gatekeeper`, `/v1/kyverno` and `/v1/admit`, each with `?profile=NAME` to judge by that profile; GET
    `/livez` and `/healthz` (alive), `/readyz` (wants requests), `/metrics`. `body_bytes` bounds a request.
    `certified` names the protocols (`gatekeeper`, `kyverno`, `admit`) that need a client certificate, which a server
    tells by `CLIENT_CERTIFICATE` in the environment; probes and metrics need none, since kubelets have none. No path
    writes, and no push or pull passes through here: what is denied is a Pod, never an upload to the registry.
    Whatever happens, no answer but one of the protocol's own, made of decisions, admits anything.
    """

    service: VerdictService
    metrics: AdmissionMetrics
    body_bytes: int = 3 * 1024 * 1024
    certified: frozenset[str] = attrs.field(default=frozenset(), converter=_names)
    readiness: Readiness = attrs.field(factory=Readiness)

    def __call__(self, environ: Mapping[str, Any], start_response: StartResponse) -> list[bytes]:
        """Answer a request."""
        begun = time.perf_counter()
        path, method = str(environ.get("PATH_INFO") or ""), str(environ.get("REQUEST_METHOD") or "")
        protocol = _PROTOCOLS[path][0] if path in _PROTOCOLS else "other"
        headers: list[tuple[str, str]] = []
        try:
            reply = self._reply(path, method, environ, headers)
        except Exception:  # noqa: BLE001 - the server must answer, and log; an HTTP error admits nothing
            LOGGER.exception("a request could not be answered", extra={"protocol": protocol})
            reply = _error(path, "internal fault", HTTPStatus.INTERNAL_SERVER_ERROR)
        seconds = time.perf_counter() - begun
        if path in _PROTOCOLS:
            self.metrics.requested(protocol, reply.status, seconds)
            if reply.status != HTTPStatus.OK:
                LOGGER.warning(
                    "a request was refused", extra={"protocol": protocol, "status": reply.status, "seconds": seconds}
                )
        status = f"{reply.status} {HTTPStatus(reply.status).phrase}"
        length = str(len(reply.body))
        common = [("Content-Type", reply.content_type), ("Content-Length", length), ("Cache-Control", "no-store")]
        start_response(status, [*common, *headers])
        return [b"" if method == "HEAD" else reply.body]

    def _reply(self, path: str, method: str, environ: Mapping[str, Any], headers: list[tuple[str, str]]) -> Reply:
        found = _PROTOCOLS.get(path)
        if found is None:
            return self._page(path, method, headers)
        name, reply_to, error = found
        if method != "POST":
            headers.append(("Allow", "POST"))
            return error("the method must be POST", HTTPStatus.METHOD_NOT_ALLOWED)
        if name in self.certified and environ.get(CLIENT_CERTIFICATE) is not True:
            return error("a client certificate is needed", HTTPStatus.FORBIDDEN)
        try:
            profile, timeout = _query(str(environ.get("QUERY_STRING") or ""))
            body = _body(environ, self.body_bytes)
        except ProtocolError as fault:
            return error(str(fault), fault.status)
        deadline = self.service.deadline if timeout is None else min(self.service.deadline, timeout * _SHARE)

        def ask(questions: Sequence[Question]) -> Sequence[Decision]:
            return self.service.decide_all(questions, deadline=deadline)

        return reply_to(body, ask, most=self.body_bytes, profile=profile)

    def _page(self, path: str, method: str, headers: list[tuple[str, str]]) -> Reply:
        if path not in (LIVE_PATH, HEALTH_PATH, READY_PATH, METRICS_PATH):
            return _text("not found", HTTPStatus.NOT_FOUND)
        if method not in ("GET", "HEAD"):
            headers.append(("Allow", "GET, HEAD"))
            return _text("the method must be GET", HTTPStatus.METHOD_NOT_ALLOWED)
        if path == METRICS_PATH:
            kind = "text/plain; version=0.0.4; charset=utf-8"
            return Reply(HTTPStatus.OK, self.metrics.text(entries=self.service.entries), kind)
        if path == READY_PATH and not self.readiness.ready:
            return _text("not ready", HTTPStatus.SERVICE_UNAVAILABLE)
        return _text("ok", HTTPStatus.OK)


def _text(text: str, status: int) -> Reply:
    return Reply(status, text.encode(), "text/plain; charset=utf-8")


def _error(path: str, text: str, status: int) -> Reply:
    found = _PROTOCOLS.get(path)
    return found[2](text, status) if found is not None else _text(text, status)


def _query(text: str) -> tuple[str | None, float | None]:
    """Return the profile and the caller's time-out; a misspelt name would judge by another profile."""
    if len(text) > _MOST_QUERY:
        refuse("?", f"has more than {_MOST_QUERY} characters", status=HTTPStatus.REQUEST_URI_TOO_LONG)
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=8)
    except ValueError:
        refuse("?", "is no query")
    found = dict(pairs)
    if len(found) != len(pairs):
        refuse("?", "names one thing twice")
    for name in found:
        if name not in ("profile", "timeout"):
            refuse(f"?{name:.80}", "is not known here; known are profile, timeout")
    if found.get("profile") == "":
        refuse("?profile", "must not be empty")
    if "timeout" not in found:
        return found.get("profile"), None
    seconds = _SECONDS.fullmatch(found["timeout"])
    if seconds is None:
        refuse("?timeout", "must be a duration such as 10s")
    return found.get("profile"), float(seconds[1]) * _UNITS[seconds[2]]


def _body(environ: Mapping[str, Any], most: int) -> bytes:
    kind = str(environ.get("CONTENT_TYPE") or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        refuse("Content-Type", "must be application/json", status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    if environ.get("HTTP_CONTENT_ENCODING", "identity") not in ("", "identity"):
        refuse("Content-Encoding", "is not understood", status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    stream = cast("IO[bytes]", environ["wsgi.input"])
    length = str(environ.get("CONTENT_LENGTH") or "")
    chunked = str(environ.get("HTTP_TRANSFER_ENCODING") or "").strip().lower() == "chunked"
    if not length and not chunked:
        refuse("Content-Length", "is missing", status=HTTPStatus.LENGTH_REQUIRED)
    if length and not (length.isascii() and length.isdigit() and len(length) < 20):
        refuse("Content-Length", "must be a number of bytes")
    announced = most + 1 if chunked or not length else int(length)
    if not chunked and announced > most:
        refuse("$", f"has more than {most} bytes", status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    read = bytearray()
    while len(read) < announced:
        piece = stream.read(announced - len(read))
        if not piece:
            break
        read += piece
    if not chunked and len(read) < announced:
        refuse("$", "ends before its announced length")
    return bytes(read)


def application(
    service: VerdictService,
    *,
    metrics: AdmissionMetrics | None = None,
    body_bytes: int = 3 * 1024 * 1024,
    certified: Iterable[str] = (),
    readiness: Readiness | None = None,
) -> Application:
    """Return the WSGI application over a service, for any WSGI server.

    Give the service `metrics.decided` as an observer to have decisions counted; `ecrkit.admission.server` does all of
    that. The default bound of a body is what the API server itself accepts, 3 MiB.

    Raises:
        MissingExtra: prometheus-client is not installed.
    """
    return Application(
        service=service,
        metrics=AdmissionMetrics() if metrics is None else metrics,
        body_bytes=body_bytes,
        certified=certified,
        readiness=Readiness() if readiness is None else readiness,
    )
