"""Where the admission server is reached from inside the cluster, and whom it is trusted by."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput, Problem

__all__ = ["ServerAddress"]

_LABEL: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_PROFILE: Final = re.compile(r"[^\s|](?:[^|]*[^\s|])?")
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
# Namespaces whose pods must start although the server is down: the cluster could not be repaired otherwise.
ALWAYS_EXCLUDED: Final = ("kube-system",)


@attrs.frozen(kw_only=True)
class ServerAddress(Record):
    """The Service of the admission server, and the CA certificates that its own certificate is verified with.

    `ca` is PEM text, one certificate or several (two while a CA is being replaced). The certificate of the server
    must name `host`: Gatekeeper, Kyverno and the API server all verify it.

    Raises:
        InvalidInput: a name that Kubernetes refuses, a port out of range, or no CA certificate in `ca`; a private key
            in it is refused, since this text ends up in objects that many may read.
    """

    ca: str = attrs.field(repr=False)
    name: str = "ecrkit-admission"
    namespace: str = "ecrkit-system"
    port: int = 443

    def __attrs_post_init__(self) -> None:
        problems = label_problems(name=self.name, namespace=self.namespace)
        problems += port_problems(port=self.port)
        problems += ca_problems("ca", self.ca)
        refuse("no address of an admission server", problems)

    @property
    def host(self) -> str:
        """The DNS name of the Service, which the certificate must name."""
        return f"{self.name}.{self.namespace}.svc"

    @property
    def ca_base64(self) -> str:
        """The CA certificates as Provider and webhook configuration hold them: base64 of the PEM text."""
        return base64.b64encode(self.ca.encode()).decode()

    def url(self, path: str, *, timeout: int, profile: str | None = None) -> str:
        """Return the URL of a path of the server, which tells it how many seconds its caller waits.

        The server answers in time for that whatever its own deadline is, and judges by `profile` if it is named.
        """
        named = {} if profile is None else {"profile": profile}
        return f"https://{self.host}:{self.port}{path}?{urlencode({**named, 'timeout': f'{timeout}s'})}"


def refuse(what: str, problems: Iterable[Problem]) -> None:
    """Raise InvalidInput when there is any problem."""
    found = list(problems)
    if found:
        raise InvalidInput(what, found)


def label_problems(**names: object) -> list[Problem]:
    """Return what is wrong with DNS labels; the names of Services, namespaces and of all else that is made here."""
    return [
        Problem(f"$.{path}", f"must be a DNS label of at most 63 characters, not {name!r:.80}")
        for path, name in names.items()
        if not isinstance(name, str) or not _LABEL.fullmatch(name)
    ]


def fits(pattern: re.Pattern[str], value: object) -> bool:
    """Return whether a value is a text of that form; arguments come from files as well as from typed code."""
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def number_problems(path: str, value: object, least: int, why: str) -> list[Problem]:
    """Return what is wrong with a number of something."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        return [Problem(f"$.{path}", f"must be at least {least} ({why}), not {value!r:.20}")]
    return []


def profile_problems(profile: object) -> list[Problem]:
    """Return what is wrong with the name of a profile; a bar would part a key of Gatekeeper."""
    if profile is None or fits(_PROFILE, profile):
        return []
    return [Problem("$.profile", "must be the name of a profile without a bar, or None")]


def port_problems(**ports: object) -> list[Problem]:
    """Return what is wrong with port numbers."""
    return [
        Problem(f"$.{path}", f"must be a port from 1 to 65535, not {port!r:.20}")
        for path, port in ports.items()
        if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535
    ]


def ca_problems(path: str, pem: object) -> list[Problem]:
    """Return what is wrong with a PEM text of CA certificates."""
    if not isinstance(pem, str):
        return [Problem(f"$.{path}", "must be PEM text")]
    if "PRIVATE KEY" in pem:
        return [Problem(f"$.{path}", "holds a private key; only certificates belong here")]
    found = _CERTIFICATE.findall(pem)
    if not found:
        return [Problem(f"$.{path}", "holds no certificate (-----BEGIN CERTIFICATE-----)")]
    problems = []
    for number, text in enumerate(found):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
        except (ssl.SSLError, ValueError):
            problems.append(Problem(f"$.{path}[{number}]", "cannot be read as a certificate"))
    return problems


def seconds_problems(path: str, value: object, least: int, most: int, why: str) -> list[Problem]:
    """Return what is wrong with a whole number of seconds."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        return [
            Problem(f"$.{path}", f"must be a whole number of seconds from {least} to {most} ({why}), not {value!r:.20}")
        ]
    return []


def excluded(problems: list[Problem], *given: Iterable[str], path: str = "exclude_namespaces") -> list[str]:
    """Return the namespaces to leave out, in order and once each, after checking their names."""
    names = list(dict.fromkeys(name for names in given for name in names))
    for number, name in enumerate(names):
        problems += label_problems(**{f"{path}[{number}]": name})
    return names


def metadata(
    name: str, namespace: str | None = None, *, labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the metadata of an object."""
    made: dict[str, Any] = {"name": name}
    if namespace is not None:
        made["namespace"] = namespace
    made["labels"] = {"app.kubernetes.io/name": "ecrkit-admission", **(labels or {})}
    if annotations:
        made["annotations"] = dict(annotations)
    return made
