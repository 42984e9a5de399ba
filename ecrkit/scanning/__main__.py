"""`python -m ecrkit.scanning`: judge scan results that stand in files, for a CI job. Calls no service.

Exit codes: 0 pass, 1 fail, 2 bad input, 3 undetermined, 75 no result yet (ask again later).
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from ecrkit._internal.times import parse_time
from ecrkit.errors import EcrkitError, InvalidInput
from ecrkit.scanning import (
    EpssFeed,
    Exemptions,
    KnownExploited,
    Profiles,
    ScanReport,
    Verdict,
    VexStatements,
    load_gate,
    load_profiles,
    to_csv,
    to_gitlab,
    to_json,
    to_junit,
    to_markdown,
    to_sarif,
    to_text,
)

__all__ = ["main"]

_FORMATS: Final[dict[str, Callable[[Verdict], str]]] = {
    "csv": to_csv,
    "gitlab": to_gitlab,
    "json": to_json,
    "junit": to_junit,
    "markdown": to_markdown,
    "sarif": to_sarif,
    "text": to_text,
}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ecrkit.scanning",
        description="Judge the scan result of one image, as `aws ecr describe-image-scan-findings` writes it.",
        epilog="exit codes: 0 pass, 1 fail, 2 bad input, 3 undetermined, 75 no result yet",
    )
    parser.add_argument("findings", nargs="+", help="JSON of the answer; several files are pages of one answer")
    policy = parser.add_mutually_exclusive_group(required=True)
    policy.add_argument("--gate", help="TOML or JSON file of a gate")
    policy.add_argument("--profiles", help="TOML or JSON file of profiles; see --profile, --namespace, --environment")
    parser.add_argument("--profile", help="the profile to use, by name")
    parser.add_argument("--namespace", help="the namespace the image is for")
    parser.add_argument("--environment", help="the environment the image is for")
    parser.add_argument("--exemptions", action="append", default=[], help="file of exemptions; may be repeated")
    parser.add_argument("--vex", action="append", default=[], help="VEX document; may be repeated")
    parser.add_argument("--baseline", action="append", default=[], help="answer for the image to compare with")
    parser.add_argument("--epss", help="EPSS scores, the CSV of FIRST.org")
    parser.add_argument("--known-exploited", help="catalogue of known exploited vulnerabilities, the JSON of CISA")
    parser.add_argument("--scan-type", choices=("BASIC", "ENHANCED"), help="scan type of the registry, when known")
    parser.add_argument("--platform", help="platform of the image, such as linux/amd64")
    parser.add_argument("--now", help="judge as of this time (ISO 8601 with zone) instead of now")
    parser.add_argument(
        "--write", action="append", default=[], metavar="FORMAT=FILE",
        help=f"also write a report; formats: {', '.join(_FORMATS)}",
    )  # fmt: skip
    return parser.parse_args(argv)


def _report(paths: Sequence[str], platform: str | None) -> ScanReport:
    pages: list[Any] = []
    for path in paths:
        text = Path(path).read_text(encoding="utf-8-sig")
        try:
            page = json.loads(text)
        except ValueError as fault:
            raise InvalidInput.single(f"{path} is no JSON", "$", str(fault)) from None
        pages.extend(page if isinstance(page, list) else [page])
    report = ScanReport.from_api(pages)
    return report if platform is None else report.on_platform(platform)


def _targets(wanted: Sequence[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for text in wanted:
        name, equals, path = text.partition("=")
        if not equals or name not in _FORMATS or not path:
            raise InvalidInput.single("bad --write", text, f"say FORMAT=FILE; formats are {', '.join(_FORMATS)}")
        found.append((name, path))
    return found


def _judge(options: argparse.Namespace) -> Verdict:
    report = _report(options.findings, options.platform)
    if options.epss or options.known_exploited:
        report = report.with_feeds(
            epss=EpssFeed.load(options.epss).scores if options.epss else None,
            known=KnownExploited.load(options.known_exploited).ids if options.known_exploited else None,
        )
    now = parse_time(options.now) if options.now else dt.datetime.now(dt.UTC)
    more: dict[str, Any] = {
        "exemptions": Exemptions.load(*options.exemptions),
        "vex": VexStatements.load(*options.vex),
        "baseline": _report(options.baseline, options.platform) if options.baseline else None,
        "scan_type": options.scan_type,
    }
    if options.gate:
        return load_gate(options.gate).judge(report, now=now, **more)
    profiles: Profiles = load_profiles(options.profiles)
    return profiles.judge(
        report, now=now, profile=options.profile, namespace=options.namespace, environment=options.environment, **more
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Judge the files named on the command line, print the verdict, write the reports, and return the exit code."""
    options = _arguments(argv)
    try:
        targets = _targets(options.write)
        verdict = _judge(options)
        for name, path in targets:
            Path(path).write_text(_FORMATS[name](verdict), encoding="utf-8", newline="")
    except (EcrkitError, OSError, ValueError) as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2
    print(to_text(verdict), end="")
    return verdict.exit_code


if __name__ == "__main__":
    sys.exit(main())
