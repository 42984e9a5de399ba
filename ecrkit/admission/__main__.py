"""`python -m ecrkit.admission`: serve the admission protocols over TLS, or judge offline what a cluster runs.

Exit codes: 0 stopped as asked, or a replay that would deny nothing; 1 a replay that would deny something, or could not
read all; 2 bad input; 3 a replay that would deny nothing, but could not ask conditions that profiles name.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import attrs

from ecrkit.admission.bases import BaseFresh
from ecrkit.admission.conditions import Condition
from ecrkit.admission.configuration import AdmissionConfiguration, load_admission_configuration
from ecrkit.admission.logs import log_decision, start_logging
from ecrkit.admission.metrics import AdmissionMetrics
from ecrkit.admission.replay import replay
from ecrkit.admission.server import AdmissionServer
from ecrkit.admission.service import VerdictService
from ecrkit.admission.sources import SavedFindings
from ecrkit.admission.tls import TlsFiles
from ecrkit.admission.wsgi import Readiness, application
from ecrkit.errors import EcrkitError, InvalidInput
from ecrkit.scanning.findings import ScanReport

__all__ = ["main"]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ecrkit.admission",
        description="Answer whether images may run, to Gatekeeper, Kyverno and the Kubernetes API server.",
        epilog="exit codes: 0 stopped as asked, or nothing would be denied; 1 a replay would deny; 2 bad input; "
        "3 a replay would deny nothing, but had conditions that cannot be judged offline",
    )
    parser.add_argument("--config", required=True, help="TOML or JSON file: profiles with their gates, and options")
    parser.add_argument("--tls-cert", help="PEM file of the server's certificate and its chain")
    parser.add_argument("--tls-key", help="PEM file of its key, not encrypted")
    parser.add_argument("--client-ca", help="PEM file of the CA that the certificates of clients are verified with")
    parser.add_argument("--host", help="address to listen on, instead of the configuration's")
    parser.add_argument("--port", type=int, help="port to listen on, instead of the configuration's")
    parser.add_argument("--check", action="store_true", help="read the configuration and the TLS files, and exit")
    parser.add_argument("--replay", metavar="PODS", help="judge the JSON of `kubectl get pods -A -o json`, and exit")
    parser.add_argument(
        "--scans", action="append", default=[], metavar="FILE",
        help="for --replay: JSON of DescribeImageScanFindings for one image; a list is its pages; may be repeated",
    )  # fmt: skip
    parser.add_argument("--account", help="for --replay with --scans: the account of the registry")
    parser.add_argument("--region", help="the Region of the registry, instead of the configuration's")
    parser.add_argument("--json", action="store_true", help="for --replay: print JSON")
    return parser.parse_args(argv)


def _json(path: str) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as fault:
        raise InvalidInput.single(f"{path} is no JSON", "$", str(fault)) from None


def _replay(options: argparse.Namespace, configuration: AdmissionConfiguration) -> int:
    account, region = options.account or configuration.registry_id, options.region or configuration.region
    if not account or not region:
        raise InvalidInput.single("no replay", "--account, --region", "name the registry that the scans are of")
    saved = SavedFindings([ScanReport.from_api(_json(path)) for path in options.scans])
    # Other conditions ask a registry, which a replay of files does not have.
    known: tuple[Condition, ...] = () if configuration.bases is None else (BaseFresh(configuration.bases),)
    names = {c.name for c in known}
    unjudged = [c for c in configuration.conditions if c not in names]
    service = VerdictService(
        profiles=attrs.evolve(
            configuration.profiles,
            entries=[
                attrs.evolve(p, conditions=[c for c in p.conditions if c in names])
                for p in configuration.profiles.entries
            ],
        ),
        conditions=known,
        registries={(account, region): saved},
        limits=configuration.limits,
        mode=configuration.mode,
    )
    with service:
        found = attrs.evolve(replay(_json(options.replay), service), unjudged=unjudged)
    print(found.to_json(indent=2) if options.json else str(found))
    if unjudged:
        print(f"not judged offline: {', '.join(unjudged)}", file=sys.stderr)
    if found.refused or found.problems:
        return 1
    return 3 if found.unjudged else 0


def _tls(options: argparse.Namespace) -> TlsFiles:
    if not options.tls_cert or not options.tls_key:
        raise InvalidInput.single("no server", "--tls-cert, --tls-key", "both are needed")
    return TlsFiles(certificate=options.tls_cert, key=options.tls_key, client_ca=options.client_ca)


def serve(
    service: VerdictService, configuration: AdmissionConfiguration, tls: TlsFiles | None, metrics: AdmissionMetrics
) -> AdmissionServer:
    """Return the server for a service and a configuration; it does not listen yet."""
    return AdmissionServer(
        application(
            service,
            metrics=metrics,
            body_bytes=configuration.body_bytes,
            certified=configuration.certified if tls is not None and tls.client_ca is not None else (),
            readiness=Readiness(ready=False),
        ),
        tls=tls,
        options=configuration.server,
    )


def _serve(options: argparse.Namespace, configuration: AdmissionConfiguration) -> int:
    # By name: the client stands above admission, and only a program as a whole may know both.
    client = importlib.import_module("ecrkit.client.admission")
    metrics = AdmissionMetrics()
    tls = _tls(options)
    server_options = configuration.server
    if options.host is not None:
        server_options = attrs.evolve(server_options, host=options.host)
    if options.port is not None:
        server_options = attrs.evolve(server_options, port=options.port)
    configuration = attrs.evolve(configuration, server=server_options, region=options.region or configuration.region)
    start_logging()
    service: VerdictService = client.service_from(configuration, observers=(metrics.decided, log_decision))
    server = serve(service, configuration, tls, metrics)
    ended = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        if ended.is_set():
            server.hurry()
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    with service, server:
        ended.wait()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line asks; return the exit code."""
    options = _arguments(argv)
    try:
        configuration = load_admission_configuration(options.config)
        if options.check:
            if options.tls_cert or options.tls_key:
                from ecrkit.admission.tls import server_context

                server_context(_tls(options))
            print(f"{options.config}: {len(configuration.profiles.entries)} profiles")
            return 0
        if options.replay:
            return _replay(options, configuration)
        return _serve(options, configuration)
    except (EcrkitError, OSError) as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2


def _end(code: int) -> NoReturn:
    """End the process, and wait for no call that hangs in a thread of another pool: a grace period is short."""
    # Daemons count: Python joins the threads of every executor, whatever they are.
    if threading.enumerate() == [threading.main_thread()]:
        sys.exit(code)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _end(main())
