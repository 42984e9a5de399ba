"""Downloading what ECR hands out a URL for: the bytes of a layer, checked against its digest.

Such a URL is its own authority (ECR API reference, GetDownloadUrlForLayer), so it never appears in an error, and no
signature or credential is sent along with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable
from typing import Final, Protocol
from urllib.parse import urlsplit

from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from ecrkit.aws.faults import classify
from ecrkit.errors import AwsCallFailed, Denied, NotFound, Unavailable

__all__ = ["Fetch", "checked", "fetch_over_http", "without_first"]


class Fetch(Protocol):
    """Gives the bytes behind a URL from `start` on, chunk by chunk."""

    def __call__(self, url: str, start: int = 0) -> Iterable[bytes]:
        """Return the bytes; `start` counts from 0 and lies within them."""
        ...


CHUNK: Final = 1024 * 1024
_OPERATION: Final = "download"


def fetch_over_http(url: str, start: int = 0) -> Generator[bytes]:
    """Yield the bytes behind a URL in chunks; proxies and certificate bundles are taken as botocore takes them.

    With a `start` only the bytes from there on are asked for; from a server that sends all of them, as it may
    (RFC 9110, section 14.2), the first ones are dropped. Redirects are not followed. The connection is closed when
    the generator is.

    Raises:
        Denied: the URL has expired or is refused.
        NotFound: nothing is there.
        Unavailable: no connection, another status, or the connection broke.
    """
    if urlsplit(url).scheme not in ("https", "http"):
        raise Unavailable("ECR gave a download URL that is neither https nor http", operation=_OPERATION)
    session = URLLib3Session(proxies=get_environ_proxies(url))
    response: AWSResponse | None = None
    try:
        headers = {"Range": f"bytes={start}-"} if start else {}
        response = session.send(AWSRequest(method="GET", url=url, headers=headers, stream_output=True).prepare())
        _check(response.status_code, partial=bool(start))
        chunks = response.raw.stream(CHUNK, decode_content=False)
        yield from chunks if response.status_code == 206 else without_first(chunks, start)
    except BotoCoreError as error:
        # Neither the message nor the cause may be shown: botocore puts the URL into both.
        raise _broken(classify(error).code) from None
    except OSError as error:
        raise _broken(type(error).__name__) from None
    except Exception as error:
        # urllib3's own errors while the body is read; naming their class would import urllib3 past botocore.
        if type(error).__module__.startswith("urllib3"):
            raise _broken(type(error).__name__) from None
        raise
    finally:
        if response is not None:
            response.raw.close()
        session.close()


def _broken(what: str) -> Unavailable:
    return Unavailable(f"a download from ECR failed: {what}; ask for a new URL", operation=_OPERATION, code=what)


def without_first(chunks: Iterable[bytes], count: int) -> Generator[bytes]:
    """Yield the chunks without the first `count` bytes.

    Example:
        >>> list(without_first([b"ab", b"cde", b"f"], 3))
        [b'de', b'f']
    """
    for chunk in chunks:
        if count < len(chunk):
            yield chunk[count:] if count else chunk
        count = max(0, count - len(chunk))


def _check(status: int, *, partial: bool) -> None:
    if status == 200 or (partial and status == 206):
        return
    kind: type[AwsCallFailed] = {401: Denied, 403: Denied, 404: NotFound, 410: NotFound}.get(status, Unavailable)
    said = "the URL has expired or is refused; ask for a new one" if kind is Denied else "ask for a new URL"
    raise kind(f"a download from ECR was answered with HTTP {status}; {said}", operation=_OPERATION, code=str(status))


def checked(chunks: Iterable[bytes], digest: str, *, resource: str) -> Generator[bytes]:
    """Yield the chunks, and raise at the end when they do not hash to the digest.

    Whoever stores them must take them for good only once the generator has ended. Every layer of ECR has a SHA-256
    digest.

    Raises:
        Unavailable: other bytes came, or not all of them.

    Example:
        >>> empty = "sha256:" + hashlib.sha256(b"").hexdigest()
        >>> b"".join(checked([b""], empty, resource="team/app"))
        b''
    """
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(chunk)
        yield chunk
    if f"sha256:{found.hexdigest()}" != digest:
        raise Unavailable(
            f"the bytes of {resource} hash to sha256:{found.hexdigest()}; the download is damaged or incomplete",
            operation=_OPERATION,
            code="DigestMismatch",
            resource=resource,
        )
