"""What the tags of repositories look like beside the conventions they should follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table, text_table
from ecrkit.images.conventions import TagCheck, TagConventions
from ecrkit.images.inventory import Inventory

__all__ = ["RepositoryTags", "TagReport", "tag_report"]


@attrs.frozen(kw_only=True)
class RepositoryTags(Record):
    """The tags of one repository.

    `counts` has the tags that follow each convention, `newest` the newest tag of each group that has an order, `faulty`
    every other tag with what was probably meant; `untagged` counts images without a tag that nothing else holds.
    """

    repository: str
    counts: Mapping[str, int] = attrs.field(hash=False)
    newest: Mapping[str, str] = attrs.field(hash=False)
    faulty: tuple[TagCheck, ...] = ()
    untagged: int = 0

    @property
    def ok(self) -> bool:
        """Whether every tag follows a convention."""
        return not self.faulty


@attrs.frozen(kw_only=True)
class TagReport(Record):
    """The tags of several repositories; `ok` is a gate's answer, and `exit_code` a CI job's."""

    repositories: tuple[RepositoryTags, ...]

    @property
    def ok(self) -> bool:
        """Whether every tag of every repository follows a convention; False also when there was nothing to look at."""
        return bool(self.repositories) and all(r.ok for r in self.repositories)

    @property
    def exit_code(self) -> int:
        """0 when every tag follows a convention, 1 when one does not, 3 when there was no tag to look at."""
        if any(not r.ok for r in self.repositories):
            return 1
        return 0 if any(r.counts for r in self.repositories) else 3

    def to_columns(self) -> dict[str, list[object]]:
        """Return the faulty tags as columns: repository, tag, problem, suggestion."""
        rows = [(r.repository, check) for r in self.repositories for check in r.faulty]
        return {
            "repository": [name for name, _ in rows],
            "tag": [check.tag for _, check in rows],
            "problem": [check.problem for _, check in rows],
            "suggestion": [check.suggestion for _, check in rows],
        }

    def _rows(self) -> list[tuple[object, ...]]:
        columns = self.to_columns()
        return list(zip(*columns.values(), strict=True))

    def __str__(self) -> str:
        """Return the faulty tags as a table, after a line of counts."""
        followed = sum(sum(r.counts.values()) for r in self.repositories)
        faulty = sum(len(r.faulty) for r in self.repositories)
        head = f"{followed} tags follow a convention, {faulty} do not"
        return f"{head}\n{text_table(list(self.to_columns()), self._rows())}" if faulty else head

    def _repr_html_(self) -> str:
        return html_table(list(self.to_columns()), self._rows(), caption="Tags that follow no convention")


def tag_report(
    conventions: TagConventions, repositories: Iterable[Inventory] | Mapping[str, Iterable[str]]
) -> TagReport:
    """Return which tags follow which convention, and which follow none, for inventories or tags by repository.

    Tags that tools set by themselves, such as cosign's `sha256-....sig`, are passed over in an inventory.

    Example:
        >>> team = TagConventions.of("prod-{version}")
        >>> report = tag_report(team, {"team/app": ["prod-1.4.0", "prod-1.5", "latest"]})
        >>> print(report)
        1 tags follow a convention, 2 do not
        repository  tag       problem                suggestion
        ----------  --------  ---------------------  ----------
        team/app    latest    follows no convention
        team/app    prod-1.5  follows no convention  prod-1.5.0
        >>> report.exit_code
        1
    """
    if isinstance(repositories, Mapping):
        return TagReport(
            repositories=tuple(_one(conventions, str(name), tags, 0) for name, tags in repositories.items())
        )
    return TagReport(
        repositories=tuple(
            _one(conventions, i.repository, (t for t, image in i.tags.items() if _own(i, image.digest)), _untagged(i))
            for i in repositories
        )
    )


def _own(inventory: Inventory, digest: str) -> bool:
    return inventory.kind_of(digest) not in ("signature", "attestation", "sbom")


def _untagged(inventory: Inventory) -> int:
    return sum(
        not image.tags and not inventory.parents_of(image.digest) and inventory.subject_of(image.digest) is None
        for image in inventory
    )


def _one(conventions: TagConventions, name: str, tags: Iterable[str], untagged: int) -> RepositoryTags:
    listed = sorted(set(tags))
    checks = [conventions.check(tag) for tag in listed]
    counts: dict[str, int] = {}
    for check in checks:
        if check.parsed is not None:
            counts[check.parsed.convention] = counts.get(check.parsed.convention, 0) + 1
    return RepositoryTags(
        repository=name,
        counts=counts,
        newest=conventions.newest(listed),
        faulty=tuple(check for check in checks if not check.ok),
        untagged=untagged,
    )
