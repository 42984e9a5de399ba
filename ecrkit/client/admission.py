"""Wiring admission to registries: findings, tags, signatures and storage classes through the gateways."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ecrkit.admission.conditions import Condition, NotArchived, Signed
from ecrkit.admission.configuration import AdmissionConfiguration
from ecrkit.admission.decisions import Decision
from ecrkit.admission.service import VerdictService
from ecrkit.admission.sources import FindingsOf
from ecrkit.errors import InvalidInput, Problem

if TYPE_CHECKING:
    from ecrkit.aws.ecr import EcrGateway
    from ecrkit.ports import Clock

__all__ = ["build", "conditions_of", "service_from"]

Observer = Callable[[Decision, float], None]

_ATTEMPTS: Final = 3


def conditions_of(gateway: EcrGateway) -> tuple[Condition, ...]:
    """Return the conditions that ECR itself can answer."""
    return Signed(gateway.referrers), NotArchived(gateway.image)


def build(
    configuration: AdmissionConfiguration,
    registries: Mapping[tuple[str, str], FindingsOf],
    *,
    gateway: EcrGateway,
    conditions: Iterable[Condition] = (),
    observers: Sequence[Observer] = (),
    clock: Clock,
) -> VerdictService:
    """Return the service; conditions that the caller gives stand before those of the same name that ECR answers."""
    known = {c.name: c for c in (*conditions_of(gateway), *conditions)}
    missing = [c for c in configuration.conditions if c not in known]
    if missing:
        problems = [Problem("$.conditions", f"{c!r} needs a source: pass a condition of that name") for c in missing]
        raise InvalidInput("no admission", problems)
    return VerdictService(
        profiles=configuration.profiles,
        registries=registries,
        conditions=known.values(),
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
