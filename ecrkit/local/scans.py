"""Scans in the embedded ECR: what a scan will find is injected per digest, when it is found follows the engine's clock.

An image without an injected result is clean: a basic scan is COMPLETE after `Timings.basic_scan` (10 seconds), an
enhanced one COMPLETE (on push) or ACTIVE (continuous) after `Timings.enhanced_scan` (30 seconds). An image none of
whose layers is a file system, such as an old attestation, ends as UNSUPPORTED_IMAGE.

Example:
    >>> import datetime as dt
    >>> from ecrkit.local import Engine, client
    >>> from ecrkit.local.images import image, layer
    >>> from ecrkit.local.scans import finding, inject
    >>> engine = Engine()
    >>> ecr = client(engine)
    >>> _ = ecr.create_repository(repositoryName="app", imageScanningConfiguration={"scanOnPush": True})
    >>> built = image([layer({"app": "1"})])
    >>> inject(engine, built.digest, findings=[finding("CVE-2026-1", "HIGH", "zlib", "1.2.13")])
    >>> digest = built.push(ecr, "app", "v1")
    >>> _ = engine.advance(dt.timedelta(seconds=10))
    >>> found = ecr.describe_image_scan_findings(repositoryName="app", imageId={"imageTag": "v1"})
    >>> found["imageScanStatus"]["status"], found["imageScanFindings"]["findingSeverityCounts"]
    ('COMPLETE', {'HIGH': 1})
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from ecrkit.errors import InvalidInput, Problem
from ecrkit.local.manifests import DIGEST
from ecrkit.local.scan_shapes import finding

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState
    from ecrkit.local.state import ImageState
    from ecrkit.scanning.configuration import ScanningConfiguration
    from ecrkit.scanning.findings import Finding

__all__ = [
    "Scan",
    "ScanKind",
    "ScanStep",
    "configuration_of",
    "finding",
    "inject",
    "raw_configuration",
    "scan_of",
    "set_scan",
    "steps_for",
]

ScanKind = Literal["basic", "enhanced"]
"""Who scans: ECR itself, or Inspector."""

_PLANS: Final = "scan_plans"
_SCANS: Final = "scans"


@attrs.frozen(kw_only=True)
class ScanStep:
    """What a scan shows from `after` its start on. `findings` None: an answer without a result."""

    after: dt.timedelta | None = None
    findings: tuple[Finding | Mapping[str, Any], ...] | None = ()
    status: str | None = None
    description: str | None = None
    platform: str = "DEBIAN_12"
    in_use_count: int | None = None
    last_in_use_at: dt.datetime | None = None

    @property
    def has_result(self) -> bool:
        """Whether the answer holds findings, which may be none, and the time at which the scan was completed."""
        if self.findings is None:
            return False
        return bool(self.findings) or self.status in (None, "COMPLETE", "ACTIVE")


@attrs.define(kw_only=True)
class Scan:
    """One image's scan of one kind. `step` is what it shows, None while it has not come to anything."""

    kind: ScanKind
    began_at: dt.datetime
    status: str
    description: str = ""
    step: ScanStep | None = None
    completed_at: dt.datetime | None = None
    first_seen: dict[str, dt.datetime] = attrs.field(factory=dict, repr=False)
    ticket: int = 0
    told: bool = False
    watched: bool = False


def scan_of(image: ImageState, kind: ScanKind) -> Scan | None:
    """Return the image's scan of that kind, or None when it was never scanned so."""
    found: Scan | None = image.extra.get(_SCANS, {}).get(kind)
    return found


def set_scan(image: ImageState, scan: Scan) -> None:
    """Make this the image's scan of its kind."""
    image.extra.setdefault(_SCANS, {})[scan.kind] = scan


def steps_for(registry: RegistryState, repository: str, digest: str, kind: ScanKind) -> tuple[ScanStep, ...]:
    """Return what was injected for the image; what names the repository or the kind wins over what does not."""
    plans: dict[tuple[str | None, str, str | None], list[ScanStep]] = registry.extra.get(_PLANS, {})
    for key in ((repository, digest, kind), (repository, digest, None), (None, digest, kind), (None, digest, None)):
        if key in plans:
            return tuple(plans[key])
    return ()


def inject(
    engine: Engine,
    digest: str,
    *,
    findings: Iterable[Finding | Mapping[str, Any]] | None = (),
    status: str | None = None,
    description: str | None = None,
    kind: ScanKind | None = None,
    after: dt.timedelta | None = None,
    repository: str | None = None,
    platform: str = "DEBIAN_12",
    in_use_count: int | None = None,
    last_in_use_at: dt.datetime | None = None,
    follow: bool = False,
    account: str | None = None,
    region: str | None = None,
) -> None:
    """Say what scans of an image come to, before or after it is pushed.

    A scan that is running takes the new result. An enhanced scan that is done shows it `after` now, as when a new
    vulnerability becomes known; a basic one stays as it is, and the next shows it.

    Args:
        engine: the embedded ECR.
        digest: of the image, not of an index: findings live on the children.
        findings: made with `finding`, or raw in the shape of `kind`. None gives an answer without a result, which
            under ENHANCED is the empty list that a clean image has, too.
        status: any text, so that statuses of later models can be tried; COMPLETE or ACTIVE by default.
        description: of the status.
        kind: the scans it is for, by default both. The registry's scan type says which of them takes place.
        after: from the start of the scan; by default as long as scans take.
        repository: only for the image there, by default in every repository of the registry.
        platform: the distribution that Inspector recognised.
        in_use_count: in how many places the image runs, as Inspector saw it.
        last_in_use_at: when it last ran.
        follow: come after what was injected before, instead of in its place: findings that arrive one by one.
        account: whose registry; the engine's by default.
        region: of the registry; the engine's by default.

    Raises:
        InvalidInput: no digest, a negative time, or raw findings without a kind.
    """
    listed = None if findings is None else tuple(findings)
    problems: list[Problem] = []
    if not DIGEST.fullmatch(digest):
        problems.append(Problem("digest", f"must be sha256: and 64 hex digits, not {digest!r:.80}"))
    if kind not in (None, "basic", "enhanced"):
        problems.append(Problem("kind", f"must be basic or enhanced, not {kind!r:.40}"))
    if after is not None and after < dt.timedelta(0):
        problems.append(Problem("after", "must not be negative"))
    if kind is None and any(isinstance(f, Mapping) for f in listed or ()):
        problems.append(Problem("kind", "must be given with raw findings; their shape belongs to one kind"))
    if problems:
        raise InvalidInput("no scan result to inject", problems)
    step = ScanStep(
        after=after,
        findings=listed,
        status=status,
        description=description,
        platform=platform,
        in_use_count=in_use_count,
        last_in_use_at=last_in_use_at,
    )
    with engine.lock:
        engine.settle()
        registry = engine.registry(account, region)
        plans = registry.extra.setdefault(_PLANS, {})
        key = (repository, digest, kind)
        plans[key] = [*plans.get(key, ()), step] if follow else [step]
        from ecrkit.local.scan_runs import take_over

        take_over(engine, registry, digest, step, kind=kind, repository=repository, follow=follow)


def raw_configuration(registry: RegistryState) -> dict[str, Any]:
    """Return the registry's scanning configuration: basic, without rules, until one was put."""
    found: dict[str, Any] = registry.extra.get("scanning") or {"scanType": "BASIC", "rules": []}
    return found


def configuration_of(raw: Mapping[str, Any]) -> ScanningConfiguration:
    """Return the configuration as the pure domain reads it, which also says what it selects.

    Raises:
        InvalidPolicy: it breaks a rule that the service model does not know.
    """
    from ecrkit.scanning.configuration import ScanningConfiguration

    rules = [
        {**rule, "repositoryFilters": list({f["filter"]: f for f in rule["repositoryFilters"]}.values())}
        for rule in raw["rules"]
    ]
    return ScanningConfiguration.from_api({"scanType": raw["scanType"], "rules": rules})
