"""Profiles of admission: which gate, exemptions and conditions hold for which namespaces and repositories."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ecrkit._internal.globs import matches_any
from ecrkit.admission.decisions import Mode, OutsidePolicy
from ecrkit.errors import InvalidPolicy
from ecrkit.scanning._documents import profile_name_problems
from ecrkit.scanning.exemptions import Exemptions
from ecrkit.scanning.gate import Gate
from ecrkit.scanning.vex import VexStatements

__all__ = ["AdmissionProfile", "AdmissionProfiles"]


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class AdmissionProfile:
    """A gate and what goes with it, for the images that match every kind of pattern it names.

    `*` in a pattern stands for any characters; a profile without patterns is for everything. `exemptions` and `vex`
    excuse findings, the gate's grace gives them time. `conditions` are names of conditions that the service was given.
    `outside` says what to do with images of other registries, which only `namespaces` can select. In `audit` mode the
    profile admits everything and tells what it would have denied. `platforms` limits an index to what the cluster runs.
    """

    name: str
    gate: Gate
    namespaces: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    repositories: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    mode: Mode = "enforce"
    outside: OutsidePolicy = "deny"
    conditions: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    exemptions: Exemptions = attrs.field(factory=Exemptions)
    vex: VexStatements = attrs.field(factory=VexStatements)
    platforms: tuple[str, ...] = attrs.field(default=(), converter=_texts)


def _profiles(values: Iterable[AdmissionProfile] | AdmissionProfile) -> tuple[AdmissionProfile, ...]:
    return (values,) if isinstance(values, AdmissionProfile) else tuple(values)


@attrs.frozen
class AdmissionProfiles:
    """Profiles in order; the first that is for an image decides. An image that none is for is not allowed.

    Raises:
        InvalidPolicy: there is no profile, or two have one name.
    """

    entries: tuple[AdmissionProfile, ...] = attrs.field(converter=_profiles)

    def __attrs_post_init__(self) -> None:
        problems = profile_name_problems(p.name for p in self.entries)
        if problems:
            raise InvalidPolicy("not a set of admission profiles", problems)

    def choose(self, *, namespace: str | None, repository: str | None) -> AdmissionProfile | None:
        """Return the first profile for an image in a namespace, or None.

        `repository` is None for an image of another registry: its name there means nothing here, so that a profile with
        patterns of repositories is never for it. An unknown namespace matches only `*`.
        """
        for profile in self.entries:
            by_repository = (
                not profile.repositories if repository is None else matches_any(profile.repositories, repository)
            )
            if by_repository and matches_any(profile.namespaces, namespace or None):
                return profile
        return None

    def named(self, name: str) -> AdmissionProfile | None:
        """Return the profile of that name, or None."""
        return next((p for p in self.entries if p.name == name), None)
