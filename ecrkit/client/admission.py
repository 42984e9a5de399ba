"""Wiring admission to registries: findings, tags, signatures and storage classes through the gateways."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ecrkit.admission.bases import BaseFresh
from ecrkit.admission.conditions import Condition, EitherSigned, NotArchived, Provenance, Signed, SignedByEcr
from ecrkit.admission.configuration import AdmissionConfiguration, SignedBy
from ecrkit.admission.decisions import Decision
from ecrkit.admission.service import VerdictService
from ecrkit.admission.sources import FindingsOf
from ecrkit.errors import InvalidInput, Problem
from ecrkit.images.bases import BaseReport
from ecrkit.images.manifest import Manifest
from ecrkit.records import RawManifest

if TYPE_CHECKING:
    from ecrkit.aws.ecr import EcrGateway
    from ecrkit.ports import Clock

__all__ = ["build", "conditions_of", "provenance_of", "service_from"]

Observer = Callable[[Decision, float], None]

_ATTEMPTS: Final = 3


def provenance_of(gateway: EcrGateway) -> Provenance:
    """Return the condition that provenance of the image is stored in the registry."""
    return Provenance(gateway.referrers, _manifests(gateway))


def _manifests(gateway: EcrGateway) -> Callable[[str, str], Manifest | None]:
    def manifest(repository: str, digest: str) -> Manifest | None:
        found = gateway.manifest_of(repository, digest)
        if not isinstance(found, RawManifest):
            return None
        return Manifest.parse(found.text, media_type=found.media_type or None, digest=digest)

    return manifest


def conditions_of(
    gateway: EcrGateway, *, signed: SignedBy = "referrer", bases: BaseReport | None = None
) -> tuple[Condition, ...]:
    """Return the conditions that one registry can answer; the one on base images only with a report on them."""
    stored, made = Signed(gateway.referrers), SignedByEcr(gateway.signing_status)
    ways: Mapping[SignedBy, Condition] = {"referrer": stored, "status": made, "either": EitherSigned(stored, made)}
    always: tuple[Condition, ...] = (
        ways[signed], NotArchived(gateway.image), provenance_of(gateway)
    )  # fmt: skip
    return always if bases is None else (*always, BaseFresh(bases, _manifests(gateway)))


def build(
    configuration: AdmissionConfiguration,
    registries: Mapping[tuple[str, str], FindingsOf],
    *,
    gateways: Mapping[tuple[str, str], EcrGateway],
    conditions: Iterable[Condition] = (),
    bases: Mapping[tuple[str, str], BaseReport] | None = None,
    observers: Sequence[Observer] = (),
    clock: Clock,
) -> VerdictService:
    """Return the service. Each registry answers for its own images; what the caller gives stands before that.

    With a report on the base images of one registry, the images of the others are unknown to it.
    """
    reports = bases or {}
    nothing = BaseReport() if reports else None
    own = {
        place: conditions_of(gateway, signed=configuration.signed, bases=reports.get(place, nothing))
        for place, gateway in gateways.items()
    }
    given = tuple(conditions)
    known = {c.name for c in given} | {c.name for several in own.values() for c in several}
    missing = [c for c in configuration.conditions if c not in known]
    if missing:
        problems = [Problem("$.conditions", f"{c!r} needs a source: pass a condition of that name") for c in missing]
        raise InvalidInput("no admission", problems)
    return VerdictService(
        profiles=configuration.profiles,
        registries=registries,
        conditions=given,
        registry_conditions=own,
        lifetimes=configuration.lifetimes,
        limits=configuration.limits,
        deadline=configuration.deadline,
        mode=configuration.mode,
        clock=clock,
        observers=observers,
    )


def service_from(configuration: AdmissionConfiguration, *, observers: Sequence[Observer] = ()) -> VerdictService:
    """Return the service over the registry that the configuration and boto3's usual chain of credentials name.

    Few attempts for each call: a webhook's caller does not wait, and the next request asks again.

    Raises:
        InvalidInput: no Region is known, or a condition has no source.
        AwsCallFailed: the account number cannot be read.
    """
    from ecrkit.client.registry import Registry

    registry = Registry.from_session(
        region=configuration.region,
        registry_id=configuration.registry_id,
        workers=configuration.limits.workers,
        attempts=_ATTEMPTS,
    )
    return registry.admission(configuration, observers=observers)
