"""Any registry as the source of a copy, over the registry protocol (OCI distribution specification 1.1).

The connection is botocore's own, so that proxies and certificate bundles are taken as everywhere else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Generator, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode, urljoin, urlsplit

from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies
from typing_extensions import override

from ecrkit._internal.clock import SystemClock
from ecrkit.aws.downloads import CHUNK, without_first
from ecrkit.aws.ecr.manifests import ACCEPTED_MEDIA_TYPES
from ecrkit.aws.faults import classify
from ecrkit.errors import (
    AwsCallFailed,
    Denied,
    InvalidInput,
    InvalidManifest,
    NotFound,
    Problem,
    Throttled,
    Unavailable,
)
from ecrkit.ports import Clock
from ecrkit.records import LayerState, RawManifest, Referrer

__all__ = ["OciSource"]

_HUB: Final = {"docker.io": "registry-1.docker.io"}
_REDIRECTS: Final = 5
_MANIFEST_LIMIT: Final = 4_194_304
_TOKEN_LIMIT: Final = 1024 * 1024
_PAGES: Final = 100
_SHORT: Final = 64 * 1024
_CHALLENGE: Final = re.compile(r'([A-Za-z]+)="([^"]*)"')
_LOCAL: Final = ("127.0.0.1", "localhost", "[::1]")


class OciSource:
    """Reads images from a registry: Docker Hub, ECR Public, GitHub, Quay, or one of your own. Threads may share it.

    It satisfies `promotion.Source`. Without a user name it asks for what the registry gives to everybody. A token is
    fetched where the registry says so, and neither it nor the password is sent to another host that a registry sends
    a download to. Whatever is read by digest is checked against it.

    Example:
        >>> OciSource("docker.io")
        <OciSource https://registry-1.docker.io>
    """

    def __init__(
        self,
        host: str,
        *,
        username: str | None = None,
        password: str | None = None,
        plain_http: bool = False,
        attempts: int = 5,
        clock: Clock | None = None,
        connections: int = 10,
    ) -> None:
        """Take note of where the registry is; nothing is called yet.

        Args:
            host: the registry's host, with its port if need be; `docker.io` is Docker Hub.
            username: who logs in. For private ECR it is `AWS`, with a token as the password.
            password: its password or token.
            plain_http: speak HTTP. Everyone on the way reads and changes what is sent, the password too.
            attempts: how often a request is tried in all, when the registry throttles or fails.
            clock: waits between attempts.
            connections: how many are kept open.

        Raises:
            InvalidInput: the host is none, or a user name has no password.
        """
        if not host or any(mark in host for mark in "/@?# \\\r\n"):
            raise InvalidInput.single("no registry", "host", f"must be a host, perhaps with a port, not {host!r:.80}")
        if (username is None) != (password is None):
            raise InvalidInput.single("no registry", "password", "a user name and a password go together")
        self._base = f"{'http' if plain_http else 'https'}://{_HUB.get(host, host)}"
        self._basic = None
        if username is not None:
            self._basic = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        self._attempts = attempts
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._session = URLLib3Session(proxies=get_environ_proxies(self._base), max_pool_connections=connections)
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()

    # ---- what a copy asks for

    def digest_of(self, repository: str, tag: str) -> str | None:
        """Return the digest that the tag names now, or None when there is no such tag.

        A registry says it in a header; from one that does not, the manifest itself is read.

        Raises:
            Denied: the registry does not let the caller read the repository; some say so of one that is not there.
        """
        path = f"/v2/{repository}/manifests/{tag}"
        try:
            response = self._request("HEAD", path, repository, accept=ACCEPTED_MEDIA_TYPES)
        except NotFound:
            return None
        stated = response.headers.get("Docker-Content-Digest")
        if stated is not None and re.fullmatch(r"sha256:[0-9a-f]{64}", stated):
            return str(stated)
        try:
            _, body = self._manifest(repository, tag)
        except NotFound:
            return None
        return _sha256(body)

    def manifests(self, repository: str, digests: Iterable[str]) -> dict[str, RawManifest]:
        """Return the manifests by digest, one request each; one that is not there is absent.

        Raises:
            InvalidManifest: the registry sent something else than what has this digest.
        """
        found: dict[str, RawManifest] = {}
        for digest in dict.fromkeys(digests):
            try:
                media_type, body = self._manifest(repository, digest)
            except NotFound:
                continue
            try:
                text = body.decode("utf-8")
            except UnicodeDecodeError:
                raise _invalid(repository, digest, "is no UTF-8") from None
            # The domain checks signed schema 1, whose digest is not of the whole text.
            if _sha256(body) != digest and b'"signatures"' not in body:
                raise _invalid(repository, digest, f"has the digest {_sha256(body)}")
            known = media_type if media_type in ACCEPTED_MEDIA_TYPES else ""
            found[digest] = RawManifest(digest=digest, media_type=known, text=text)
        return found

    def referrers(self, repository: str, digest: str) -> list[Referrer]:
        """Return the artifacts whose subject is the image.

        A registry without that question keeps them under the tag `sha256-HEX` (OCI distribution specification,
        referrers tag schema), which is read then.

        Raises:
            Unavailable: the answer is no list of referrers.
        """
        path: str | None = f"/v2/{repository}/referrers/{digest}"
        found: list[Referrer] = []
        for _ in range(_PAGES):
            if path is None:
                return found
            try:
                response = self._request("GET", path, repository)
            except NotFound:
                return found or self._tagged_referrers(repository, digest)
            entries, path = _referrers(_body(response, _MANIFEST_LIMIT)), _next_page(response, path)
            found += entries
        raise _failed("the registry gives no end of referrers", "RepeatedPageToken", f"{repository}@{digest}")

    def _tagged_referrers(self, repository: str, digest: str) -> list[Referrer]:
        try:
            _, body = self._manifest(repository, digest.replace(":", "-", 1))
        except NotFound:
            return []
        return _referrers(body)

    def layers(self, repository: str, digests: Iterable[str]) -> dict[str, LayerState]:
        """Return which blobs the repository has and their sizes, one request each."""
        found: dict[str, LayerState] = {}
        for digest in dict.fromkeys(digests):
            try:
                response = self._request("HEAD", f"/v2/{repository}/blobs/{digest}", repository)
            except NotFound:
                found[digest] = LayerState(digest=digest, availability="UNAVAILABLE")
                continue
            length = response.headers.get("Content-Length", "")
            size = int(length) if length.isascii() and length.isdigit() else None
            found[digest] = LayerState(digest=digest, availability="AVAILABLE", size=size)
        return found

    def read_layer(self, repository: str, digest: str, *, start: int = 0) -> Generator[bytes]:
        """Yield a blob's bytes from `start` on; a registry that sends all of them has the first ones dropped.

        Raises:
            NotFound: there is no such blob.
            Unavailable: the download broke.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        about = f"{repository}@{digest}"
        response = self._request("GET", f"/v2/{repository}/blobs/{digest}", repository, headers=headers)
        try:
            chunks = _counted(response, about)
            yield from chunks if response.status_code == 206 else without_first(chunks, start)
        except OSError as error:
            raise _failed("the download broke", type(error).__name__, about) from None
        except Exception as error:
            # urllib3's own errors while the body is read; naming their class would import urllib3 past botocore.
            if type(error).__module__.startswith("urllib3"):
                raise _failed("the download broke", type(error).__name__, about) from None
            raise
        finally:
            _drop(response)

    def _manifest(self, repository: str, reference: str) -> tuple[str, bytes]:
        path = f"/v2/{repository}/manifests/{reference}"
        response = self._request("GET", path, repository, accept=ACCEPTED_MEDIA_TYPES)
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        return media_type, _body(response, _MANIFEST_LIMIT)

    # ---- requests

    def _request(
        self,
        method: str,
        path: str,
        repository: str,
        *,
        accept: Iterable[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> AWSResponse:
        """Return the answer, logged in where asked for, redirected where sent, and tried again where that can help."""
        sent = {**(headers or {}), "Accept-Encoding": "identity"}
        accepted = ", ".join(accept)
        if accepted:
            sent["Accept"] = accepted
        url = urljoin(self._base, path)
        scope = f"repository:{repository}:pull"
        failures, renewed = 0, False
        while True:
            try:
                response = self._follow(method, url, sent, self._tokens.get(scope))
            except Unavailable:
                failures += 1
                if failures >= self._attempts:
                    raise
                self._clock.sleep(min(8.0, 0.25 * 2**failures))
                continue
            status = response.status_code
            if status in (200, 206):
                return response
            # Storage that a registry sends a download to has no say in where its password goes.
            asked_at_home = _origin(response.url) == _origin(self._base)
            said = response.headers.get("WWW-Authenticate", "")
            waiting = response.headers.get("Retry-After", "")
            _release(response)
            if status == 401 and asked_at_home and not renewed:
                renewed = True
                with self._lock:
                    self._tokens[scope] = self._log_in(said, scope)
                continue
            failures += 1
            if (status == 429 or status >= 500) and failures < self._attempts:
                told = float(waiting) if waiting.isascii() and waiting.isdigit() else 0.25 * 2**failures
                self._clock.sleep(min(60.0, told))
                continue
            raise _fault(status, method, f"{urlsplit(self._base).netloc}{path}")

    def _follow(self, method: str, url: str, headers: Mapping[str, str], authorization: str | None) -> AWSResponse:
        for _ in range(_REDIRECTS + 1):
            sent = dict(headers)
            # Storage behind a registry has a signature in its URL; a token of the registry is none of its business.
            if authorization is not None and _origin(url) == _origin(self._base):
                sent["Authorization"] = authorization
            response = self._send(method, url, sent)
            if response.status_code not in (301, 302, 303, 307, 308):
                return response
            aim = urljoin(url, response.headers.get("Location", ""))
            _release(response)
            if urlsplit(aim).scheme not in ("http", "https") or (_secure(url) and not _secure(aim)):
                raise _failed("a redirect leads away from HTTPS", "BadRedirect", urlsplit(self._base).netloc)
            url = aim
        raise _failed(f"more than {_REDIRECTS} redirects", "BadRedirect", urlsplit(self._base).netloc)

    def _send(self, method: str, url: str, headers: Mapping[str, str]) -> AWSResponse:
        request = AWSRequest(method=method, url=url, headers=dict(headers), stream_output=True)
        try:
            return self._session.send(request.prepare())
        except BotoCoreError as error:
            # Neither message nor cause may be shown: botocore puts the URL into both, and it may hold a signature.
            raise _failed("no connection", classify(error).code, urlsplit(url).netloc) from None

    def _log_in(self, challenge: str, scope: str) -> str:
        kind, _, rest = challenge.partition(" ")
        told = dict(_CHALLENGE.findall(rest))
        where = urlsplit(self._base).netloc
        if kind.lower() == "basic":
            if self._basic is None:
                raise _denied(where, "it wants a user name and a password")
            return self._basic
        realm = told.get("realm", "")
        if kind.lower() != "bearer" or urlsplit(realm).scheme not in ("http", "https"):
            raise _denied(where, "it does not say how to log in")
        if _secure(self._base) and not _secure(realm):
            raise _denied(where, "it asks to log in without HTTPS")
        asked = {"scope": told.get("scope") or scope} | ({"service": told["service"]} if "service" in told else {})
        url = f"{realm}{'&' if urlsplit(realm).query else '?'}{urlencode(asked)}"
        response = self._send("GET", url, {"Authorization": self._basic} if self._basic is not None else {})
        if response.status_code != 200:
            _release(response)
            raise _denied(where, f"the log-in was answered with HTTP {response.status_code}")
        document = _document(_body(response, _TOKEN_LIMIT))
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str) or not token or not token.isascii() or any(c in token for c in "\r\n "):
            raise _denied(where, "the log-in was answered without a token")
        return f"Bearer {token}"

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @override
    def __repr__(self) -> str:
        return f"<OciSource {self._base}>"


def _sha256(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _secure(url: str) -> bool:
    return urlsplit(url).scheme == "https"


def _counted(response: AWSResponse, about: str) -> Generator[bytes]:
    """Yield the body; one that ends before its stated length is a broken download."""
    stated = response.headers.get("Content-Length", "")
    left = int(stated) if stated.isascii() and stated.isdigit() else 0
    for chunk in response.raw.stream(CHUNK, decode_content=False):
        left -= len(chunk)
        yield chunk
    if left > 0:
        raise _failed("the download broke", f"{left} bytes are missing", about)


def _release(response: AWSResponse) -> None:
    """Give the connection back for the next request; one with much left to read is closed."""
    try:
        left = len(response.raw.read(_SHORT, decode_content=False)) == _SHORT
    except Exception:  # noqa: BLE001 whatever is wrong with it, it is not used again
        left = True
    if left:
        response.raw.close()
    _give_back(response)


def _drop(response: AWSResponse) -> None:
    # A connection whose body was not read to its end cannot be used again.
    response.raw.close()
    _give_back(response)


def _give_back(response: AWSResponse) -> None:
    release = getattr(response.raw, "release_conn", None)
    if release is not None:
        release()


def _body(response: AWSResponse, limit: int) -> bytes:
    held: list[bytes] = []
    length = 0
    try:
        for chunk in response.raw.stream(64 * 1024, decode_content=False):
            length += len(chunk)
            if length > limit:
                raise _failed(f"an answer has more than {limit} bytes", "TooLong", "")
            held.append(chunk)
    except OSError as error:
        raise _failed("the answer broke", type(error).__name__, "") from None
    except Exception as error:
        if type(error).__module__.startswith("urllib3"):
            raise _failed("the answer broke", type(error).__name__, "") from None
        raise
    finally:
        _release(response)
    return b"".join(held)


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _failed("an answer is no JSON object", "ResponseParserError", "")
    return found


def _referrers(body: bytes) -> list[Referrer]:
    entries = _document(body).get("manifests") or []
    if not isinstance(entries, list):
        raise _failed("the list of referrers is no list", "ResponseParserError", "")
    found = []
    for raw in entries:
        named = isinstance(raw, dict) and isinstance(raw.get("digest"), str) and isinstance(raw.get("mediaType"), str)
        if not named:
            raise _failed("a referrer has no digest or media type", "ResponseParserError", "")
        notes = raw.get("annotations") or {}
        found.append(
            Referrer(
                digest=raw["digest"],
                media_type=raw["mediaType"],
                size=raw["size"] if isinstance(raw.get("size"), int) else 0,
                artifact_type=raw["artifactType"] if isinstance(raw.get("artifactType"), str) else None,
                annotations={str(k): str(v) for k, v in notes.items()} if isinstance(notes, dict) else {},
            )
        )
    return found


def _next_page(response: AWSResponse, path: str) -> str | None:
    link = re.search(r'<([^>]*)>\s*;\s*rel="?next"?', response.headers.get("Link", ""))
    if link is None:
        return None
    aim = urlsplit(urljoin(path, link[1]))
    return f"{aim.path}?{aim.query}" if aim.query else aim.path


def _invalid(repository: str, digest: str, said: str) -> InvalidManifest:
    return InvalidManifest("invalid manifest", [Problem("$", f"what came as {repository}@{digest} {said}")])


def _failed(what: str, code: str, about: str) -> Unavailable:
    return Unavailable(
        f"reading a registry failed: {what}{f' ({about})' if about else ''}: {code}",
        operation="download", code=code, service="registry", resource=about or None,
    )  # fmt: skip


def _denied(where: str, why: str) -> Denied:
    return Denied(f"{where} lets nobody in this way: {why}", operation="log in", code="401", service="registry")


def _fault(status: int, method: str, about: str) -> AwsCallFailed:
    kinds: dict[int, type[AwsCallFailed]] = {401: Denied, 403: Denied, 404: NotFound, 429: Throttled}
    return kinds.get(status, Unavailable)(
        f"{method} {about} was answered with HTTP {status}",
        operation="download" if method == "GET" else method,
        code=str(status),
        service="registry",
        resource=about,
    )
