"""TLS of the admission server: version 1.3, client certificates when wanted, and certificates renewed while it runs."""

from __future__ import annotations

import os
import ssl
import threading
from pathlib import Path
from typing import Final

import attrs

from ecrkit.admission.logs import LOGGER
from ecrkit.errors import InvalidInput

__all__ = ["TlsFiles", "TlsSource", "server_context"]

_WHAT: Final = "no TLS for the admission server"


def _path(value: str | os.PathLike[str]) -> Path:
    return Path(value)


def _maybe_path(value: str | os.PathLike[str] | None) -> Path | None:
    return None if value is None else Path(value)


@attrs.frozen(kw_only=True)
class TlsFiles:
    """PEM files: the server's certificate with its chain, its key, and the CA of the clients when those must prove
    who they are.
    """

    certificate: Path = attrs.field(converter=_path)
    key: Path = attrs.field(converter=_path)
    client_ca: Path | None = attrs.field(default=None, converter=_maybe_path)

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Return what changes when a file is replaced, also behind a symbolic link as Kubernetes mounts secrets."""
        paths = [p for p in (self.certificate, self.key, self.client_ca) if p is not None]
        found = [p.stat() for p in paths]
        return tuple((s.st_mtime_ns, s.st_size, s.st_ino) for s in found)


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the TLS context of a server: 1.3 and nothing older.

    With a client CA the certificate of a client is verified when it presents one, and a bad one ends the handshake.
    None at all is left to the application, since the probes of a kubelet have none.

    Raises:
        InvalidInput: a file cannot be read, or certificate and key do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
        if files.client_ca is not None:
            context.load_verify_locations(files.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ValueError) as fault:
        names = ", ".join(str(p) for p in (files.certificate, files.key, files.client_ca) if p is not None)
        raise InvalidInput.single(_WHAT, names, f"cannot be used: {fault}") from None
    return context


def _no_password() -> str:
    # Without this OpenSSL would ask a terminal for the password of an encrypted key, and hang where there is none.
    raise ValueError("the key is encrypted")


class TlsSource:
    """The context in use, made anew once the files have changed. Threads may share it.

    Files that cannot be used, as in the midst of a renewal, leave the old context in place, with a line in the log.

    Raises:
        InvalidInput: the files cannot be used at the start.
    """

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        self._lock = threading.Lock()
        self._context = server_context(files)
        self._stamp = files.stamp()

    def context(self) -> ssl.SSLContext:
        """Return the context for the next connection."""
        with self._lock:
            try:
                stamp = self.files.stamp()
                if stamp != self._stamp:
                    self._context = server_context(self.files)
                    self._stamp = stamp
                    LOGGER.info("certificates reloaded")
            except (OSError, InvalidInput):
                LOGGER.exception("changed certificates cannot be used; the old ones stay")
            return self._context
