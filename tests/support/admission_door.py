"""A running admission server over TLS on loopback, with three images: one that passes, one that fails, one unscanned."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import attrs

from ecrkit.admission import AdmissionProfile, AdmissionProfiles, FindingsOf, SavedFindings, VerdictService
from ecrkit.admission.manifests import ServerAddress
from ecrkit.admission.server import AdmissionServer, ServerOptions
from ecrkit.admission.tls import TlsFiles
from ecrkit.admission.wsgi import Readiness, application
from ecrkit.scanning import Gate, ScanReport, count_limit
from tests.support.certificates import Authority

__all__ = ["BAD", "GOOD", "HOST", "PENDING", "Door", "findings", "open_door", "profiles"]

PLACE = ("123456789012", "us-east-1")
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
_DIGESTS = {name: f"sha256:{n:064x}" for n, name in enumerate(("good", "bad", "pending"), 1)}
GOOD, BAD, PENDING = (f"{HOST}/team/app@{digest}" for digest in _DIGESTS.values())


def _report(name: str) -> ScanReport:
    raw = {
        "repositoryName": "team/app", "imageId": {"imageDigest": _DIGESTS[name]},
        "imageScanStatus": {"status": "IN_PROGRESS" if name == "pending" else "COMPLETE"},
    }  # fmt: skip
    if name != "pending":
        listed = [] if name == "good" else [{"name": "CVE-2026-1", "severity": "CRITICAL"}]
        raw["imageScanFindings"] = {"imageScanCompletedAt": 1767225600.0, "findings": listed}
    return ScanReport.from_api(raw)


def findings() -> SavedFindings:
    return SavedFindings([_report(name) for name in _DIGESTS])


def profiles() -> AdmissionProfiles:
    """Return two profiles: `lenient` for the namespace sandbox, which admits what failed, and `strict` for all others."""
    return AdmissionProfiles([
        AdmissionProfile(name="lenient", gate=Gate(count_limit("CRITICAL", 100)), namespaces=["sandbox"]),
        AdmissionProfile(name="strict", gate=Gate(count_limit("CRITICAL", 0))),
    ])  # fmt: skip


@attrs.frozen(kw_only=True)
class Door:
    """The server as its callers know it, and where it really is."""

    address: ServerAddress
    connect_to: tuple[str, int]
    client: tuple[Path, Path]
    stranger: tuple[Path, Path]
    service: VerdictService
    server: AdmissionServer


@contextlib.contextmanager
def open_door(
    folder: Path,
    *,
    registries: Mapping[tuple[str, str], FindingsOf] | None = None,
    certified: Iterable[str] = ("gatekeeper",),
    **service: object,
) -> Iterator[Door]:
    """Serve until left. Gatekeeper must present a certificate of the CA, as it does; the others have none."""
    authority, other = Authority(), Authority("somebody else")
    ca = authority.write_ca(folder)
    names = ServerAddress(ca=authority.ca)
    certificate, key = authority.write(folder, "server", names.host)
    made = VerdictService(profiles=profiles(), registries=registries or {PLACE: findings()}, **service)
    app = application(made, certified=certified, readiness=Readiness(ready=False))
    options = ServerOptions(host="127.0.0.1", port=0, threads=4, drain_seconds=0, stop_seconds=2)
    server = AdmissionServer(app, tls=TlsFiles(certificate=certificate, key=key, client_ca=ca), options=options)
    logging.getLogger("ecrkit.admission").setLevel(logging.CRITICAL)
    try:
        with made, server:
            yield Door(
                address=names, connect_to=("127.0.0.1", server.port), client=authority.write(folder, "client"),
                stranger=other.write(folder, "stranger"), service=made, server=server,
            )  # fmt: skip
    finally:
        logging.getLogger("ecrkit.admission").setLevel(logging.NOTSET)
