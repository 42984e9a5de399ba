"""The replication configuration of a registry: typed rules, every documented limit checked, unknown members kept.

Source: ECR API reference, ReplicationConfiguration and ReplicationRule; ECR user guide, "Private image replication",
"Replication of deletes" and "Amazon ECR service quotas".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Self

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidPolicy, InvalidReference, Problem
from ecrkit.refs import RegistryHost, partition_of_region

__all__ = ["Destination", "ReplicationConfiguration", "ReplicationRule", "filter_problem"]

_WHAT: Final = "not a replication configuration"
_MOST_RULES: Final = 25
_DOCUMENTED_RULES: Final = 10
_MOST_DESTINATIONS: Final = 25
_MOST_FILTERS: Final = 100
_PARTS: Final = re.compile(r"[a-z0-9]*(?:[._-][a-z0-9]*)*")
_RULE_MEMBERS: Final = ("destinations", "repositoryFilters", "deleteReplication")


def filter_problem(text: str) -> str | None:
    """Return what is wrong with a filter, or None: it is a literal prefix of repository names, 2 to 256 characters.

    A filter is no pattern and never looks at tags.

    Example:
        >>> filter_problem("prod-")
        >>> filter_problem("prod-*")
        "a filter is a literal prefix of repository names, not a pattern: write 'prod-' for every name that begins so"
    """
    if any(c in text for c in "*?["):
        before = re.split(r"[*?\[]", text, maxsplit=1)[0]
        hint = f": write {before!r} for every name that begins so" if len(before) >= 2 else ""
        return f"a filter is a literal prefix of repository names, not a pattern{hint}"
    if ":" in text:
        return "a filter is a prefix of repository names; ECR cannot choose by tag"
    if not 2 <= len(text) <= 256:
        return f"must have 2 to 256 characters, not {len(text)}"
    *folders, last = text.split("/")
    for part in folders:
        if not part or not part[0].isalnum() or not _PARTS.fullmatch(part):
            return (
                f"the part {part!r:.60} before '/' must begin with a lower-case letter or digit, then '.', '_', '-' too"
            )
    if not _PARTS.fullmatch(last):
        return "must be lower-case letters and digits with '.', '_', '-' and '/' between them"
    return None


@attrs.frozen(order=True)
class Destination(Record):
    """A registry to replicate to: a Region, and the account whose registry it is.

    Example:
        >>> str(Destination("eu-west-1", "123456789012"))
        '123456789012/eu-west-1'
    """

    region: str
    account: str

    @classmethod
    def from_api(cls, raw: Mapping[str, Any]) -> Self:
        """Return the destination of a `region` and a `registryId`."""
        return cls(str(raw.get("region")), str(raw.get("registryId")))

    def to_api(self) -> dict[str, str]:
        """Return it as ECR takes it."""
        return {"region": self.region, "registryId": self.account}

    def problems(self, path: str) -> list[Problem]:
        """Return what is wrong with the names, each at a path."""
        try:
            RegistryHost.private(self.account, self.region)
        except InvalidReference as fault:
            return [Problem(f"{path}.{_NAMES.get(p.path, p.path)}", p.message) for p in fault.problems]
        return []

    @override
    def __str__(self) -> str:
        return f"{self.account}/{self.region}"


_NAMES: Final = {"account": "registryId"}


def _destinations(values: Iterable[Destination]) -> tuple[Destination, ...]:
    return tuple(values)


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(values)


@attrs.frozen(kw_only=True)
class ReplicationRule(Record):
    """One rule: where to, which repositories by the beginning of their names, and whether deletions go there too.

    Without `prefixes` every repository is meant. `deletes` None leaves the member out, which is off. `more` holds
    members of ECR's answer that ecrkit does not know; they are sent back as they came.
    """

    destinations: tuple[Destination, ...] = attrs.field(converter=_destinations)
    prefixes: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    deletes: bool | None = None
    more: Mapping[str, Any] = attrs.field(factory=dict, hash=False)

    def selects(self, repository: str) -> bool:
        """Return whether the rule is for the repository."""
        return not self.prefixes or repository.startswith(self.prefixes)

    def same_target(self, other: ReplicationRule) -> bool:
        """Return whether both send the same repositories to the same places, in whatever order they are written."""
        return set(self.destinations) == set(other.destinations) and set(self.prefixes) == set(other.prefixes)

    def to_api(self) -> dict[str, Any]:
        """Return the rule as ECR takes it."""
        made: dict[str, Any] = {**self.more, "destinations": [d.to_api() for d in self.destinations]}
        if self.prefixes:
            made["repositoryFilters"] = [{"filter": p, "filterType": "PREFIX_MATCH"} for p in self.prefixes]
        if self.deletes is not None:
            made["deleteReplication"] = {"enabled": self.deletes}
        return made

    @override
    def __str__(self) -> str:
        whose = ", ".join(f"{p}…" for p in self.prefixes) or "every repository"
        deletes = ", deletions too" if self.deletes else ""
        return f"{whose} -> {', '.join(map(str, self.destinations))}{deletes}"


def _rules(values: Iterable[ReplicationRule]) -> tuple[ReplicationRule, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class ReplicationConfiguration(Record):
    """A registry's replication rules, checked as ECR documents them; botocore checks hardly any of it.

    There are at most 25 rules (the quota page says 10, the service model 25, and `plan` warns beyond 10), 25 unique
    destinations over all rules, and 100 filters in one rule. Without rules nothing replicates.

    Example:
        >>> configuration = ReplicationConfiguration.to("eu-west-1", account="123456789012", prefixes=["prod/"])
        >>> [str(place) for place in configuration.destinations_of("prod/app")]
        ['123456789012/eu-west-1']
        >>> configuration.destinations_of("dev/app")
        ()
    """

    rules: tuple[ReplicationRule, ...] = attrs.field(default=(), converter=_rules)

    def __attrs_post_init__(self) -> None:
        problems = list(self._faults())
        if problems:
            raise InvalidPolicy(_WHAT, problems)

    @classmethod
    def to(
        cls, *regions: str, account: str, prefixes: Iterable[str] = (), deletes: bool | None = None
    ) -> ReplicationConfiguration:
        """Return one rule that sends repositories to the Regions of an account."""
        places = [Destination(region, account) for region in regions]
        return cls(rules=[ReplicationRule(destinations=places, prefixes=_texts(prefixes), deletes=deletes)])

    def _faults(self) -> Iterator[Problem]:
        if len(self.rules) > _MOST_RULES:
            yield Problem("$.rules", f"there are at most {_MOST_RULES} rules, not {len(self.rules)}")
        places = self.destinations
        if len(places) > _MOST_DESTINATIONS:
            told = f"there are at most {_MOST_DESTINATIONS} unique destinations over all rules, not {len(places)}"
            yield Problem("$.rules", told)
        for number, rule in enumerate(self.rules):
            path = f"$.rules[{number}]"
            if not rule.destinations:
                yield Problem(f"{path}.destinations", "must name at least one destination")
            for position, place in enumerate(rule.destinations):
                yield from place.problems(f"{path}.destinations[{position}]")
            for place, times in Counter(rule.destinations).items():
                if times > 1:
                    yield Problem(f"{path}.destinations", f"{place} is named {times} times")
            if len(rule.prefixes) > _MOST_FILTERS:
                told = f"a rule has at most {_MOST_FILTERS} filters, not {len(rule.prefixes)}"
                yield Problem(f"{path}.repositoryFilters", told)
            for position, prefix in enumerate(rule.prefixes):
                fault = filter_problem(prefix)
                if fault is not None:
                    yield Problem(f"{path}.repositoryFilters[{position}].filter", f"{prefix!r:.80}: {fault}")
            for prefix, times in Counter(rule.prefixes).items():
                if times > 1:
                    yield Problem(f"{path}.repositoryFilters", f"{prefix!r} is named {times} times")

    def problems_from(self, source: Destination) -> tuple[Problem, ...]:
        """Return what keeps a registry from having this configuration: itself or another partition as destination."""
        found: list[Problem] = []
        for number, rule in enumerate(self.rules):
            for position, place in enumerate(rule.destinations):
                path = f"$.rules[{number}].destinations[{position}]"
                if place == source:
                    found.append(Problem(path, f"{place} is the source itself"))
                elif partition_of_region(place.region) != partition_of_region(source.region):
                    here = partition_of_region(source.region)
                    found.append(Problem(path, f"{place} lies in another partition than {here}"))
        return tuple(found)

    @classmethod
    def from_api(cls, raw: Mapping[str, Any]) -> Self:
        """Return the configuration of DescribeRegistry's answer, or of its `replicationConfiguration` member.

        Members of a rule that ecrkit does not know are kept in `more`. Unknown members elsewhere are a problem, since
        they could not be written back.

        Raises:
            InvalidPolicy: it is none, or it breaks a rule; `problems` names everything.

        Example:
            >>> ReplicationConfiguration.from_api({"rules": [{"destinations": [
            ...     {"region": "eu-west-1", "registryId": "123456789012"}],
            ...     "repositoryFilters": [{"filter": "prod-*", "filterType": "PREFIX_MATCH"}]}]})
            Traceback (most recent call last):
            ecrkit.errors.InvalidPolicy: not a replication configuration: ...'prod-*': a filter is a literal prefix ...
        """
        body: Any = raw.get("replicationConfiguration", raw)
        reading = _Reading()
        made = reading.rules(body)
        if reading.problems:
            raise InvalidPolicy(_WHAT, reading.problems)
        return cls(rules=made)

    def to_api(self) -> dict[str, Any]:
        """Return the argument `replicationConfiguration` of PutReplicationConfiguration."""
        return {"rules": [rule.to_api() for rule in self.rules]}

    @property
    def destinations(self) -> tuple[Destination, ...]:
        """Every destination once, in the order of the rules."""
        return tuple(dict.fromkeys(place for rule in self.rules for place in rule.destinations))

    def destinations_of(self, repository: str) -> tuple[Destination, ...]:
        """Return where images of a repository go that are pushed or restored from now on."""
        return tuple(dict.fromkeys(p for rule in self.rules if rule.selects(repository) for p in rule.destinations))

    def deletes_at(self, repository: str) -> tuple[Destination, ...]:
        """Return where deletions of a repository go."""
        chosen = (rule for rule in self.rules if rule.deletes and rule.selects(repository))
        return tuple(dict.fromkeys(place for rule in chosen for place in rule.destinations))

    @property
    def many_rules(self) -> bool:
        """Whether there are more rules than the quota page allows (10); the service model allows 25."""
        return len(self.rules) > _DOCUMENTED_RULES

    @override
    def __str__(self) -> str:
        return "; ".join(map(str, self.rules)) or "no rules: nothing replicates"


class _Reading:
    """Reads ECR's answer and collects every problem."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def _problem(self, path: str, message: str) -> None:
        self.problems.append(Problem(path, message))

    def _items(self, value: Any, path: str) -> list[tuple[str, Mapping[str, Any]]]:
        if not isinstance(value, list | tuple):
            self._problem(path, "must be a list")
            return []
        found: list[tuple[str, Mapping[str, Any]]] = []
        for number, item in enumerate(value):
            if isinstance(item, Mapping):
                found.append((f"{path}[{number}]", item))
            else:
                self._problem(f"{path}[{number}]", "must be an object")
        return found

    def _text(self, item: Mapping[str, Any], name: str, path: str) -> str:
        value = item.get(name)
        if not isinstance(value, str):
            self._problem(f"{path}.{name}", "is missing" if value is None else "must be a text")
            return ""
        return value

    def _only(self, item: Mapping[str, Any], names: tuple[str, ...], path: str) -> None:
        for name in sorted(map(str, item.keys() - set(names))):
            self._problem(f"{path}.{name}", "is a member that ecrkit does not know; rewriting would drop it")

    def rules(self, body: Any) -> list[ReplicationRule]:
        """Return the rules of a configuration."""
        if not isinstance(body, Mapping):
            self._problem("$", "must be an object")
            return []
        self._only(body, ("rules", "registryId", "ResponseMetadata"), "$")
        return [self._rule(item, path) for path, item in self._items(body.get("rules"), "$.rules")]

    def _rule(self, item: Mapping[str, Any], path: str) -> ReplicationRule:
        places: list[Destination] = []
        for here, raw in self._items(item.get("destinations"), f"{path}.destinations"):
            self._only(raw, ("region", "registryId"), here)
            places.append(Destination(self._text(raw, "region", here), self._text(raw, "registryId", here)))
        prefixes: list[str] = []
        filters = item.get("repositoryFilters")
        for here, raw in self._items([] if filters is None else filters, f"{path}.repositoryFilters"):
            self._only(raw, ("filter", "filterType"), here)
            if raw.get("filterType") != "PREFIX_MATCH":
                kind = raw.get("filterType")
                self._problem(f"{here}.filterType", f"must be PREFIX_MATCH, the one that there is, not {kind!r:.60}")
            prefixes.append(self._text(raw, "filter", here))
        deletes = item.get("deleteReplication")
        enabled: Any = None
        if deletes is not None:
            enabled = deletes.get("enabled") if isinstance(deletes, Mapping) else None
            if not isinstance(enabled, bool):
                self._problem(f"{path}.deleteReplication.enabled", "must be true or false")
                enabled = None
            elif isinstance(deletes, Mapping):
                self._only(deletes, ("enabled",), f"{path}.deleteReplication")
        more = {str(name): value for name, value in item.items() if name not in _RULE_MEMBERS}
        return ReplicationRule(destinations=places, prefixes=prefixes, deletes=enabled, more=more)
