"""An admission server over TLS on loopback in a process of its own; or a bare WSGI echo on the same HTTP server.

As a module it is that process: it prints its port as one line of JSON and serves until its input ends.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import attrs

from ecrkit.admission import AdmissionProfile, AdmissionProfiles, Lifetimes, SavedFindings, VerdictService
from ecrkit.admission.metrics import AdmissionMetrics
from ecrkit.admission.server import AdmissionServer, ServerOptions
from ecrkit.admission.tls import TlsFiles
from ecrkit.admission.wsgi import Readiness, application
from ecrkit.errors import Throttled, Unavailable
from ecrkit.scanning import Gate, ImageScan, ScanReport, count_limit

PLACE = ("123456789012", "us-east-1")
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
Registry = Literal["good", "throttled", "slow", "down"]


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def image(number: int) -> str:
    return f"{HOST}/team/app@{digest(number)}"


class Troubled:
    """A registry that throttles after some time, answers too late, or cannot be reached."""

    def __init__(self, kind: Registry) -> None:
        self.kind = kind

    def digest_of(self, repository: str, tag: str) -> str | None:  # noqa: ARG002
        return digest(1)

    def scan_of(self, repository: str, digest: str) -> ImageScan:  # noqa: ARG002
        told = {"operation": "DescribeImageScanFindings", "code": "ThrottlingException"}
        if self.kind == "throttled":
            time.sleep(0.05)
            raise Throttled("Rate exceeded", **told)
        if self.kind == "slow":
            time.sleep(5)
        raise Unavailable("cannot be reached", **told)


def clean(images: int) -> SavedFindings:
    return SavedFindings([
        ScanReport.from_api({
            "repositoryName": "team/app", "imageId": {"imageDigest": digest(n)},
            "imageScanStatus": {"status": "COMPLETE"},
            "imageScanFindings": {"imageScanCompletedAt": 1767225600.0, "findings": []},
        })
        for n in range(1, images + 1)
    ])  # fmt: skip


class Echo:
    """The least that a WSGI application does with a request: read it, and send as many bytes as a verdict has."""

    body_bytes = 3 * 1024 * 1024

    def __init__(self, size: int) -> None:
        self.readiness = Readiness()
        self.reply = b"x" * size

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., object]) -> list[bytes]:
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        length = str(len(self.reply))
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", length)])
        return [self.reply]


def serve(kind: str, folder: Path, *, images: int, deadline: float, size: int) -> None:
    """Serve until the input ends."""
    logging.getLogger("ecrkit").setLevel(logging.CRITICAL)
    tls = TlsFiles(certificate=folder / "server.crt", key=folder / "server.key")
    options = ServerOptions(host="127.0.0.1", port=0, drain_seconds=0, stop_seconds=1)
    metrics = AdmissionMetrics()
    service = VerdictService(
        profiles=AdmissionProfiles(AdmissionProfile(name="all", gate=Gate(count_limit("CRITICAL", 0)))),
        registries={PLACE: clean(images) if kind in ("good", "echo") else Troubled(kind)},  # type: ignore[arg-type]
        lifetimes=Lifetimes(pass_seconds=3600, undetermined_seconds=0),
        deadline=deadline,
        observers=[metrics.decided],
    )
    app: Any = Echo(size) if kind == "echo" else application(service, metrics=metrics)
    if kind == "good":
        service.decide_all([_question(n) for n in range(1, images + 1)], deadline=60)
    with service, AdmissionServer(app, tls=tls, options=options) as server:
        print(json.dumps({"port": server.port}), flush=True)
        sys.stdin.read()


def _question(number: int) -> Any:
    from ecrkit.admission import Question

    return Question(image=image(number))


@attrs.frozen(kw_only=True)
class Running:
    """A server: its port, and the processor seconds it has used, where Linux tells."""

    port: int
    pid: int

    def seconds(self) -> float:
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(kind: str, folder: Path, *, images: int = 100, deadline: float = 1.0, size: int = 500) -> Iterator[Running]:
    """Run the server beside this process."""
    command = [
        sys.executable, "-m", "benchmarks.support.admission_server", kind, str(folder), "--images", str(images),
        "--deadline", str(deadline), "--size", str(size),
    ]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield Running(port=json.loads(process.stdout.readline())["port"], pid=process.pid)
        finally:
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("kind")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--deadline", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=500)
    given = parser.parse_args()
    serve(given.kind, given.folder, images=given.images, deadline=given.deadline, size=given.size)
