"""VEX: statements that a product is or is not affected by a vulnerability, matched against findings by package URL.

OpenVEX 0.2, CSAF 2.0 (profile csaf_vex) and CycloneDX VEX documents become the same statements. A finding is
covered by a statement of `not_affected` or `fixed`; among statements on the same package the latest decides, and of
equally late ones the one that says `affected`.
"""

from __future__ import annotations

import datetime as dt
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final, Literal, Self

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit.scanning._documents import document, load_text
from ecrkit.scanning.findings import Finding, Package, ScanReport
from ecrkit.scanning.purl import Purl, package_purl

__all__ = ["VexProduct", "VexReport", "VexStatement", "VexStatements", "VexStatus"]

VexStatus = Literal["not_affected", "fixed", "affected", "under_investigation"]
"""What a statement says of a product: only `not_affected` and `fixed` cover a finding."""

_COVERING: Final = ("not_affected", "fixed")
_WHAT: Final = "not a VEX document"


@attrs.frozen(kw_only=True)
class VexProduct(Record):
    """What a statement is about: an image or a package, and the packages in it that are meant.

    `purls` and `digests` name the product; `components` name packages in it, none meaning the product as a whole.
    """

    purls: tuple[Purl, ...] = ()
    digests: tuple[str, ...] = ()
    components: tuple[Purl, ...] = ()

    def speaks_of_image(self, report: ScanReport) -> bool:
        """Return whether the product is the image: by digest, or by an oci package URL of its repository.

        An oci package URL names the image by the last part of the repository; its `repository_url`, when given, must
        end in the whole repository name, its version must be the digest, and its `tag` one of the image's tags.
        """
        if report.digest is not None and report.digest in self.digests:
            return True
        return any(_is_image(p, report) for p in self.purls)

    def covers_package(self, purl: Purl) -> bool:
        """Return whether the product itself is the package."""
        return any(p.type not in ("oci", "docker") and p.covers(purl) for p in self.purls)


def _is_image(purl: Purl, report: ScanReport) -> bool:
    repository = report.repository
    if purl.type not in ("oci", "docker"):
        return False
    qualifiers = dict(purl.qualifiers)
    if purl.version.startswith("sha256:"):
        if purl.version != report.digest:
            return False
        if repository is None:
            return True
    elif purl.version and purl.version not in report.tags:
        return False
    if repository is None:
        return False
    if "tag" in qualifiers and qualifiers["tag"] not in report.tags:
        return False
    if "arch" in qualifiers and report.architecture not in (None, qualifiers["arch"]):
        return False
    url = qualifiers.get("repository_url")
    if url is not None:
        path = url.partition("://")[2] or url
        return path.rstrip("/") == repository or path.rstrip("/").endswith(f"/{repository}")
    # In a docker package URL the namespace is the rest of the repository's name.
    name = f"{purl.namespace}/{purl.name}" if purl.namespace else purl.name
    return name in (repository, repository.rpartition("/")[2])


@attrs.frozen(kw_only=True)
class VexStatement(Record):
    """One statement: these vulnerabilities, these products, this status, since then, for this reason."""

    ids: tuple[str, ...]
    status: VexStatus
    products: tuple[VexProduct, ...]
    timestamp: dt.datetime | None = None
    justification: str | None = None
    text: str | None = None
    author: str | None = None
    document: str | None = None
    path: str = "$"

    @property
    def label(self) -> str:
        """The document, the place in it and the vulnerability in a few words."""
        return f"{self.ids[0]} {self.status} ({self.document or 'VEX'} {self.path})"

    @override
    def __str__(self) -> str:
        return f"{self.label}: {self.justification or self.text or 'no justification'}"


@attrs.frozen(kw_only=True)
class VexReport(Record):
    """What became of the statements: `applied` decided a finding, `unmatched` spoke of nothing in this image.

    `overruled` matched, and another statement on the same package was later or worse. `not_used` could not be used,
    with the reason.
    """

    applied: tuple[tuple[VexStatement, int], ...] = ()
    overruled: tuple[VexStatement, ...] = ()
    unmatched: tuple[VexStatement, ...] = ()
    not_used: tuple[tuple[str, str], ...] = ()

    @classmethod
    def merged(cls, reports: Iterable[VexReport]) -> Self:
        """Return one report for the platforms of an image: unmatched is what matched on no platform."""
        several = tuple(reports)
        applied: Counter[VexStatement] = Counter()
        for report in several:
            for statement, count in report.applied:
                applied[statement] += count
        overruled = dict.fromkeys(s for r in several for s in r.overruled if s not in applied)
        return cls(
            applied=tuple(applied.items()),
            overruled=tuple(overruled),
            unmatched=tuple(
                dict.fromkeys(s for r in several for s in r.unmatched if s not in applied and s not in overruled)
            ),
            not_used=tuple(dict.fromkeys(n for r in several for n in r.not_used)),
        )


def _several(values: Iterable[VexStatement]) -> tuple[VexStatement, ...]:
    return tuple(values)


@attrs.frozen
class VexStatements(Record):
    """The statements of one or several VEX documents, found by vulnerability.

    Example:
        >>> statements = VexStatements.parse({
        ...     "@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.com/vex/1", "author": "Team A",
        ...     "timestamp": "2026-11-01T00:00:00Z", "version": 1,
        ...     "statements": [{"vulnerability": {"name": "CVE-2024-9681"}, "status": "not_affected",
        ...                     "justification": "vulnerable_code_not_in_execute_path",
        ...                     "products": [{"@id": "pkg:deb/debian/curl?distro=debian-12"}]}]})
        >>> [s.label for s in statements]
        ['CVE-2024-9681 not_affected (https://example.com/vex/1 $.statements[0])']
    """

    entries: tuple[VexStatement, ...] = attrs.field(default=(), converter=_several)
    not_used: tuple[tuple[str, str], ...] = ()

    @classmethod
    def load(cls, *paths: str | os.PathLike[str]) -> Self:
        """Return the statements of VEX files.

        Raises:
            InvalidInput: a file is no VEX document, or breaks a rule of its format; all problems are named.
            OSError: a file cannot be read.
        """
        return cls.of(cls.parse(load_text(path), name=os.path.basename(path)) for path in paths)  # noqa: PTH119

    @classmethod
    def of(cls, parts: Iterable[VexStatements]) -> Self:
        """Return the statements of several documents together."""
        several = tuple(parts)
        return cls((s for p in several for s in p.entries), tuple(n for p in several for n in p.not_used))

    @classmethod
    def parse(cls, source: str | Mapping[str, Any], *, name: str | None = None) -> Self:
        """Return the statements of one document: OpenVEX, CSAF VEX or CycloneDX, told by its own marks.

        Raises:
            InvalidInput: this is none of them, or it breaks a rule of its format; all problems are named.
        """
        from ecrkit.scanning._vex_formats import read_vex

        entries, unusable = read_vex(document(source, _WHAT), name)
        return cls(entries, tuple(unusable))

    @cached_property
    def _by_id(self) -> Mapping[str, tuple[VexStatement, ...]]:
        index: dict[str, list[VexStatement]] = {}
        for entry in self.entries:
            for name in entry.ids:
                index.setdefault(name, []).append(entry)
        return {k: tuple(v) for k, v in index.items()}

    def candidates(self, finding: Finding) -> tuple[VexStatement, ...]:
        """Return the statements on the vulnerability or one of its aliases, once each."""
        found = {id(s): s for name in (finding.id, *finding.related) for s in self._by_id.get(name, ())}
        return tuple(found.values())

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[VexStatement]:
        return iter(self.entries)


class VexMatcher:
    """Matches one report's findings; remembers which statements matched."""

    def __init__(self, statements: VexStatements, report: ScanReport) -> None:
        self._all = statements
        self._report = report
        self._applied: Counter[int] = Counter()
        self._matched: set[int] = set()

    def cover(self, finding: Finding) -> dict[int, VexStatement]:
        """Return, by position of the package in the finding, the statement that covers it; -1 is no package at all."""
        candidates = self._all.candidates(finding)
        covered: dict[int, VexStatement] = {}
        if not candidates:
            return covered
        places: list[tuple[int, Package | None]] = list(enumerate(finding.packages))
        decided: set[int] = set()
        for place, package in places or [(-1, None)]:
            purl = package_purl(package, os=self._report.os) if package is not None else None
            mine = [s for s in candidates if any(self._about(p, purl) for p in s.products)]
            self._matched.update(map(id, mine))
            if not mine:
                continue
            last = max(mine, key=_weight)
            decided.add(id(last))
            if last.status in _COVERING:
                covered[place] = last
        self._applied.update(decided)
        return covered

    def _about(self, product: VexProduct, purl: Purl | None) -> bool:
        if product.speaks_of_image(self._report):
            return not product.components or (purl is not None and any(c.covers(purl) for c in product.components))
        if purl is None or product.components:
            # A package within another package's product: the image does not tell which contains which.
            return False
        return product.covers_package(purl)

    def report(self) -> VexReport:
        """Return what became of each statement."""
        return VexReport(
            applied=tuple((s, self._applied[id(s)]) for s in self._all if id(s) in self._applied),
            overruled=tuple(s for s in self._all if id(s) in self._matched and id(s) not in self._applied),
            unmatched=tuple(s for s in self._all if id(s) not in self._matched),
            not_used=self._all.not_used,
        )


def _weight(statement: VexStatement) -> tuple[float, int, str]:
    moment = statement.timestamp.timestamp() if statement.timestamp else float("-inf")
    worse = {"affected": 3, "under_investigation": 2, "not_affected": 1, "fixed": 0}
    return moment, worse[statement.status], statement.label
