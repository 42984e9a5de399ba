"""What a replication configuration means for repositories, and what keeps it from working at its destinations.

Source: ECR user guide, "Private image replication", "Registry permissions" and "Templates to control repositories".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table, text_table
from ecrkit.records import CreationTemplate, Repository
from ecrkit.replication.configuration import Destination, ReplicationConfiguration

__all__ = ["Coverage", "CoverageCode", "CoverageFinding", "DestinationFacts", "coverage"]

CoverageCode = Literal[
    "not-covered", "idle-filter", "no-permission", "permission-unknown", "cannot-create", "default-settings",
    "settings-differ", "swallows-tags", "no-chain", "deletes", "unknown-destination", "invalid-destination",
]  # fmt: skip
"""What a finding is about.

- `not-covered`: no rule is for the repository. `idle-filter`: the prefix begins no repository's name.
- `no-permission`: another account's registry policy does not allow `ecr:ReplicateImage`; `cannot-create`: nor
  `ecr:CreateRepository`, and the repository is not there; `permission-unknown`: nobody could read the policy, or it
  leaves one of the two open.
- `default-settings`: the repository is not there and no creation template for REPLICATION is for it.
- `settings-differ`: mutability or encryption of an existing repository is another there.
- `swallows-tags`: tags are immutable there, so that a tag that moves in the source does not arrive.
- `no-chain`: the destination replicates onwards, but not what arrives by replication.
- `deletes`: deletions in the source are repeated there.
- `unknown-destination`: nothing was read there, or not all; the message says what of the above is not known.
- `invalid-destination`: the source itself, or a Region of another partition.
"""

_SEVERE: Final = ("no-permission", "cannot-create", "swallows-tags", "no-chain", "deletes", "invalid-destination")


@attrs.frozen(kw_only=True)
class CoverageFinding(Record):
    """One thing to know: about a repository, a destination or both; empty where it is about all."""

    code: CoverageCode
    message: str
    repository: str = ""
    destination: Destination | None = None

    @property
    def severe(self) -> bool:
        """Whether images, tags or their safety are at stake, and not only settings or what is unknown."""
        return self.code in _SEVERE

    @override
    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def _templates(values: Iterable[CreationTemplate] | None) -> tuple[CreationTemplate, ...] | None:
    return None if values is None else tuple(values)


@attrs.frozen(kw_only=True)
class DestinationFacts:
    """What was read at one destination; None stands for what could not be read, and is never taken for empty.

    `allows` answers whether the registry policy lets the source account do an action on a repository, and None when
    that is unknown; it is asked for other accounts only.
    """

    repositories: Mapping[str, Repository] | None = None
    templates: tuple[CreationTemplate, ...] | None = attrs.field(default=None, converter=_templates)
    configuration: ReplicationConfiguration | None = None
    allows: Callable[[str, str], bool | None] | None = None

    def template_for(self, repository: str) -> CreationTemplate | None:
        """Return the template for REPLICATION that ECR would create the repository by."""
        fitting = [t for t in self.templates or () if "REPLICATION" in t.applied_for and t.fits(repository)]
        return max(fitting, key=lambda t: t.rank, default=None)


def _places(values: Mapping[str, Iterable[Destination]]) -> Mapping[str, tuple[Destination, ...]]:
    return {name: tuple(places) for name, places in values.items()}


def _findings(values: Iterable[CoverageFinding]) -> tuple[CoverageFinding, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Coverage(Record):
    """Where each repository goes, and every finding about it; about pushes from now on, never about older images."""

    source: Destination
    routes: Mapping[str, tuple[Destination, ...]] = attrs.field(hash=False, converter=_places)
    findings: tuple[CoverageFinding, ...] = attrs.field(default=(), converter=_findings)

    @property
    def uncovered(self) -> tuple[str, ...]:
        """The repositories that no rule is for."""
        return tuple(sorted(name for name, places in self.routes.items() if not places))

    def about(self, code: CoverageCode) -> tuple[CoverageFinding, ...]:
        """Return the findings of one kind."""
        return tuple(f for f in self.findings if f.code == code)

    @property
    def ok(self) -> bool:
        """Whether every repository goes somewhere, nothing is severe and nothing unknown."""
        bad = ("not-covered", "unknown-destination", "permission-unknown")
        return not any(f.severe or f.code in bad for f in self.findings)

    def explain(self) -> str:
        """Return the routes in numbers and every finding in words."""
        going = sum(1 for places in self.routes.values() if places)
        lines = [f"{counted(going, 'repository is', 'repositories are')} replicated, {len(self.uncovered)} not"]
        return "\n".join([*lines, *(f"- {finding}" for finding in self.findings)])

    def to_table(self) -> str:
        """Return a table of repositories and destinations as text."""
        return text_table(("repository", "goes to"), self._rows())

    def _rows(self) -> list[tuple[str, str]]:
        return [(name, ", ".join(map(str, places)) or "nowhere") for name, places in sorted(self.routes.items())]

    def _repr_html_(self) -> str:
        return html_table(("repository", "goes to"), self._rows(), caption=f"replication from {self.source}")


def coverage(
    configuration: ReplicationConfiguration,
    repositories: Iterable[Repository | str],
    *,
    source: Destination,
    facts: Mapping[Destination, DestinationFacts] | None = None,
) -> Coverage:
    """Return where each repository goes, and what will not work or surprise at the destinations.

    With names instead of `Repository` records nothing is compared with the source's settings. A destination without
    `facts` is reported as unknown.

    Example:
        >>> home = Destination("us-east-1", "123456789012")
        >>> configuration = ReplicationConfiguration.to("eu-west-1", account=home.account, prefixes=["prod/"])
        >>> found = coverage(configuration, ["prod/app", "dev/app"], source=home)
        >>> found.uncovered, [f.code for f in found.findings]
        (('dev/app',), ['not-covered', 'unknown-destination'])
    """
    known = {r if isinstance(r, str) else r.name: None if isinstance(r, str) else r for r in repositories}
    routes = {name: configuration.destinations_of(name) for name in known}
    found = [
        CoverageFinding(code="invalid-destination", message=f"{p.path}: {p.message}")
        for p in configuration.problems_from(source)
    ]
    found += [
        CoverageFinding(code="not-covered", repository=name, message=f"no rule is for {name}")
        for name, places in sorted(routes.items())
        if not places
    ]
    for rule in configuration.rules:
        found += [
            CoverageFinding(code="idle-filter", message=f"no repository's name begins with {prefix!r}")
            for prefix in rule.prefixes
            if not any(name.startswith(prefix) for name in known)
        ]
    for place in configuration.destinations:
        names = {name: known[name] for name, places in sorted(routes.items()) if place in places}
        there = (facts or {}).get(place)
        found += _deletes(configuration, place, names)
        if there is None:
            message = f"nothing was read at {place}: permission, templates and settings there are unknown"
            found.append(CoverageFinding(code="unknown-destination", destination=place, message=message))
            continue
        if place.account != source.account:
            found += _permissions(there, place, names)
        found += _settings(there, place, names)
        found += _chains(there, place, routes)
    return Coverage(source=source, routes=routes, findings=found)


def _deletes(
    configuration: ReplicationConfiguration, place: Destination, names: Iterable[str]
) -> Iterable[CoverageFinding]:
    deleted = [name for name in names if place in configuration.deletes_at(name)]
    if deleted:
        yield CoverageFinding(
            code="deletes",
            destination=place,
            message=(
                f"a removed tag, a deleted or expired image of {_few(deleted)} goes at {place} too: "
                "no image to roll back to stays there"
            ),
        )


def _few(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")


def _permissions(
    there: DestinationFacts, place: Destination, names: Mapping[str, Repository | None]
) -> Iterable[CoverageFinding]:
    answers = {n: None if there.allows is None else there.allows("ecr:ReplicateImage", n) for n in names}
    unknown = [n for n, answer in answers.items() if answer is None]
    refused = [n for n, answer in answers.items() if answer is False]
    if unknown:
        message = f"whether the registry policy of {place} lets {_few(unknown)} in is unknown"
        yield CoverageFinding(code="permission-unknown", destination=place, message=message)
    if refused:
        message = f"the registry policy of {place} does not allow ecr:ReplicateImage for {_few(refused)}"
        yield CoverageFinding(code="no-permission", destination=place, message=message)
    if there.allows is None or there.repositories is None:
        return
    absent = [n for n, answer in answers.items() if answer and n not in there.repositories]
    creates = {n: there.allows("ecr:CreateRepository", n) for n in absent}
    barred = [n for n, answer in creates.items() if answer is False]
    open_ones = [n for n, answer in creates.items() if answer is None]
    if open_ones:
        message = f"{_few(open_ones)} is not at {place}, and whether its registry policy lets it be created is unknown"
        yield CoverageFinding(code="permission-unknown", destination=place, message=message)
    if barred:
        message = f"{_few(barred)} is not at {place}, and its registry policy does not allow ecr:CreateRepository"
        yield CoverageFinding(code="cannot-create", destination=place, message=message)


def _settings(
    there: DestinationFacts, place: Destination, names: Mapping[str, Repository | None]
) -> Iterable[CoverageFinding]:
    if there.repositories is None:
        message = f"the repositories of {place} could not be read: settings and immutable tags there are unknown"
        yield CoverageFinding(code="unknown-destination", destination=place, message=message)
        return
    untemplated: list[str] = []
    for name, origin in names.items():
        copy = there.repositories.get(name)
        if copy is not None:
            yield from _differences(copy, origin, place)
            continue
        template = there.template_for(name)
        if template is None:
            untemplated.append(name)
        elif _holds_tags(template.tag_mutability or "MUTABLE") and _moves(origin):
            yield _swallows(name, place, f"the template {template.prefix!r} makes its tags immutable")
    if untemplated and there.templates is None:
        message = f"by which settings {_few(untemplated)} will be created at {place} is unknown: no templates were read"
        yield CoverageFinding(code="unknown-destination", destination=place, message=message)
    elif untemplated:
        yield CoverageFinding(
            code="default-settings",
            destination=place,
            message=(
                f"{_few(untemplated)} will be created at {place} with default settings, without policies: "
                "no creation template for REPLICATION"
            ),
        )


def _holds_tags(mutability: str) -> bool:
    return mutability != "MUTABLE"


def _moves(origin: Repository | None) -> bool:
    # Where tags cannot move in the source, the first one to arrive is the only one.
    return origin is None or origin.tag_mutability != "IMMUTABLE"


def _swallows(name: str, place: Destination, why: str) -> CoverageFinding:
    message = f"{why}: an image whose tag {name} moved in the source arrives at {place} without it"
    return CoverageFinding(code="swallows-tags", repository=name, destination=place, message=message)


def _differences(copy: Repository, origin: Repository | None, place: Destination) -> Iterable[CoverageFinding]:
    if _holds_tags(copy.tag_mutability) and _moves(origin):
        yield _swallows(copy.name, place, f"{copy.name} is {copy.tag_mutability} there")
    if origin is None:
        return
    pairs = {
        "tag mutability": (_mutability(origin), _mutability(copy)),
        "encryption": (origin.encryption_type, copy.encryption_type),
        "scan on push": (origin.scan_on_push, copy.scan_on_push),
    }
    different = [f"{what} {here} here, {there} there" for what, (here, there) in pairs.items() if here != there]
    if different:
        message = f"{copy.name} at {place}: {'; '.join(different)}; settings are not replicated"
        yield CoverageFinding(code="settings-differ", repository=copy.name, destination=place, message=message)


def _mutability(repository: Repository) -> str:
    excluded = ", ".join(sorted(repository.mutability_exclusions))
    return repository.tag_mutability + (f" except {excluded}" if excluded else "")


def _chains(
    there: DestinationFacts, place: Destination, routes: Mapping[str, tuple[Destination, ...]]
) -> Iterable[CoverageFinding]:
    if there.configuration is None:
        message = f"whether {place} replicates onwards is unknown: its rules were not read"
        yield CoverageFinding(code="unknown-destination", destination=place, message=message)
        return
    onwards: dict[Destination, list[str]] = {}
    for name, places in routes.items():
        if place in places:
            for further in there.configuration.destinations_of(name):
                if further not in places:
                    onwards.setdefault(further, []).append(name)
    for further, names in sorted(onwards.items()):
        yield CoverageFinding(
            code="no-chain",
            destination=place,
            message=(
                f"{place} replicates {_few(names)} to {further}, but not what arrives there by replication: "
                f"name {further} as a destination of the source"
            ),
        )
