"""Bytes that nobody seems to need: untagged, never pulled, not pulled for long, superseded, and orphaned referrers.

What is told here is what removing the images would free; whether they may go is a matter for a lifecycle plan, which
knows what runs. Sources: ECR API reference, ImageDetail (lastRecordedPullTime); ECR user guide, referrers.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table, text_table
from ecrkit._internal.times import require_aware
from ecrkit.cost.sources import Inventories, Source, each_chunk, read
from ecrkit.errors import InvalidInput
from ecrkit.images.byte_range import ByteRange
from ecrkit.images.conventions import SortKey, TagConventions
from ecrkit.images.inventory import Inventory
from ecrkit.images.semver import VersionTag
from ecrkit.images.storage import freed_by
from ecrkit.records import Image

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Convention", "RepositoryWaste", "Waste", "WasteCategory", "WasteReport", "waste"]

WasteCategory = Literal["untagged", "never_pulled", "not_pulled_lately", "superseded", "orphaned_referrers"]
"""Why images are called waste. One image may be so for several reasons."""

Convention = Callable[[str], "tuple[str, SortKey | None] | None"]
"""Tells the line that a tag belongs to and its place in it, the newest highest (None: by push time), or None."""

_NOTHING: Final = ByteRange.exactly(0)
_OPAQUE: Final = "an untagged image may be the child of an index that was not read"
_GAP: Final = "a repository could not be read"
_COSIGN: Final = re.compile(r"sha256-([0-9a-f]{64})(?:\.(?:sig|att|sbom))?")
_VERSION: Final = re.compile(r"v?(\d+\.\d+\.\d+)(?:-(.+))?")
_PRERELEASE: Final = re.compile(r"(?:alpha|beta|rc|pre|preview|dev|snapshot)[.\-]?\d*(?:[.\-].*)?|\d+(?:\.\d+)*")
_HEADER: Final = ("repository", *get_args(WasteCategory), "in all")


def _versions(tag: str) -> tuple[str, SortKey | None] | None:
    """Tell full versions apart by their variant: `1.4.0-alpine` and `1.5.0-alpine` are one line, `1.5.0` another."""
    found = _VERSION.fullmatch(tag)
    if found is None:
        return None
    numbers, suffix = found.groups()
    if suffix is None or _PRERELEASE.fullmatch(suffix):
        version, variant = VersionTag.parse(tag), ""
    else:
        version, variant = VersionTag.parse(numbers), suffix
    return None if version is None else (f"version:{variant}", version.key)


@attrs.frozen(kw_only=True)
class Waste(Record):
    """The images of a repository that are waste for one reason, and the bytes that removing exactly them frees.

    `images` counts manifests: an index, its children and its referrers each. `digests` names them all.
    """

    category: str
    images: int = 0
    bytes: ByteRange = _NOTHING
    digests: tuple[str, ...] = attrs.field(default=(), repr=False)


@attrs.frozen(kw_only=True)
class RepositoryWaste(Record):
    """The waste of one repository: by category, and all of it together, where nothing counts twice."""

    repository: str
    categories: Mapping[str, Waste] = attrs.field(hash=False)
    total: Waste
    gap: str | None = None


@attrs.frozen(kw_only=True)
class WasteReport(Record):
    """The waste of several repositories.

    The bytes of the categories add up to more or less than the total: an image may be in several, and a layer that two
    of them share is freed only when both go. `bytes` is the total.
    """

    repositories: tuple[RepositoryWaste, ...]
    as_of: dt.datetime
    unused_for: dt.timedelta

    @property
    def bytes(self) -> ByteRange:
        """What removing all of it would free."""
        return _total(r.total.bytes for r in self.repositories)

    @property
    def images(self) -> int:
        """How many manifests are waste."""
        return sum(r.total.images for r in self.repositories)

    def of(self, category: WasteCategory) -> ByteRange:
        """Return what removing the images of one category would free."""
        return _total(r.categories[category].bytes for r in self.repositories)

    def __getitem__(self, repository: str) -> RepositoryWaste:
        """Return the waste of one repository; raise KeyError when the report does not have it."""
        return self._by_name[repository]

    @cached_property
    def _by_name(self) -> Mapping[str, RepositoryWaste]:
        return {found.repository: found for found in self.repositories}

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one row for each repository and category, and one with the category `total`, as columns."""
        rows = [(r, w) for r in self.repositories for w in (*r.categories.values(), r.total)]
        return {
            "repository": [r.repository for r, _ in rows],
            "category": [w.category for _, w in rows],
            "images": [w.images for _, w in rows],
            "bytes_low": [w.bytes.low for _, w in rows],
            "bytes_high": [w.bytes.high for _, w in rows],
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return `to_columns()` as a frame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def explain(self) -> str:
        """Return a table for people, the most wasteful repository first."""
        return f"{self}\n" + text_table(_HEADER, self._rows(), right=frozenset(range(1, len(_HEADER))))

    def _rows(self) -> list[tuple[object, ...]]:
        ranked = sorted(self.repositories, key=lambda r: (-r.total.bytes.low, r.repository))
        return [
            (r.repository, *(r.categories[c].bytes for c in get_args(WasteCategory)), r.total.bytes) for r in ranked
        ]

    def _repr_html_(self) -> str:
        return html_table(_HEADER, self._rows(), caption=str(self))

    @override
    def __str__(self) -> str:
        return f"{self.images} images are waste, {self.bytes} in all"


def _total(parts: Iterable[ByteRange]) -> ByteRange:
    found = _NOTHING
    for part in parts:
        found += part
    return found


class _Units:
    """A repository as its owners see it: roots, each with the children and the referrers that go with it."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self._attached: dict[str, list[str]] = {}  # referrers by subject, cosign's tag scheme included
        self.orphans: list[Image] = []
        self.roots: list[Image] = []
        for image in inventory.images:
            subject = self._subject(image)
            if subject is not None and subject in inventory:
                self._attached.setdefault(subject, []).append(image.digest)
                if image.tags and not _cosign_subject(image):
                    self.roots.append(image)
            elif subject is not None:
                self.orphans.append(image)
            elif image.tags or not inventory.parents_of(image.digest):
                self.roots.append(image)
        # What goes with each; most images have nothing, and cost nothing below.
        self._edges: dict[str, tuple[str, ...]] = {
            digest: tuple(
                d for d in (*inventory.children_of(digest), *self._attached.get(digest, ())) if d in inventory
            )
            for digest in {*inventory.children, *self._attached}
        }

    def _subject(self, image: Image) -> str | None:
        return self.inventory.subject_of(image.digest) or _cosign_subject(image)

    def reach(self, images: Iterable[Image]) -> set[str]:
        """Return the digests of the images and of everything that goes with them."""
        found = {image.digest for image in images}
        edges = self._edges
        todo = list(found & edges.keys())
        while todo:
            for other in edges[todo.pop()]:
                if other not in found:
                    found.add(other)
                    if other in edges:
                        todo.append(other)
        return found

    def going(self, images: Iterable[Image]) -> set[str]:
        """Return what goes with these roots and orphans, without what another one holds on to."""
        leaving = {image.digest: image for image in images}
        everything = (*self.roots, *self.orphans)
        kept = self.reach(image for image in everything if image.digest not in leaving)
        return self.reach(leaving.values()) - kept

    def last_pull(self, image: Image) -> dt.datetime | None:
        """Return when the image or anything that goes with it was last pulled: a node pulls a child, not the index."""
        if image.digest not in self._edges:
            return image.last_pulled_at
        times = (self.inventory[digest].last_pulled_at for digest in self.reach([image]))
        return max((at for at in times if at is not None), default=None)


def _cosign_subject(image: Image) -> str | None:
    found = [_COSIGN.fullmatch(tag) for tag in image.tags]
    return f"sha256:{found[0][1]}" if found and found[0] is not None and all(found) else None


def _superseded(units: _Units, convention: Convention, keep: int) -> list[Image]:
    lines: dict[str, dict[str, tuple[Any, ...]]] = {}
    told: dict[str, list[str] | None] = {}
    for image in units.roots:
        groups: list[str] = []
        for tag in image.tags:
            found = convention(tag)
            if found is None:
                continue
            group, key = found
            # Without a key only the push tells which is newer.
            place = (1, key) if key is not None else (0, (image.pushed_at,))
            line = lines.setdefault(group, {})
            line[image.digest] = max(line.get(image.digest, place), place)
            groups.append(group)
        # A tag of no convention, such as `latest`, keeps the image; it counts among the releases all the same.
        told[image.digest] = groups if groups and len(groups) == len(image.tags) else None
    newest: dict[str, set[str]] = {}
    for group, line in lines.items():
        ranked = sorted(((place, digest) for digest, place in line.items()), reverse=True)
        newest[group] = {digest for _, digest in ranked[:keep]}
    return [
        image
        for image in units.roots
        if (lineage := told[image.digest]) and not any(image.digest in newest[group] for group in lineage)
    ]


@attrs.frozen(kw_only=True)
class _Question:
    now: dt.datetime
    unused_for: dt.timedelta
    grace: dt.timedelta
    keep: int
    convention: Convention
    except_for: Mapping[str, frozenset[str]]


def _look(chunk: list[tuple[str, Source]], question: _Question) -> list[RepositoryWaste]:
    return [_repository(name, read(source), question) for name, source in chunk]


def _repository(name: str, inventory: Inventory | None, question: _Question) -> RepositoryWaste:
    names = get_args(WasteCategory)
    if inventory is None:
        unknown = ByteRange(0, None, (_GAP,))
        return RepositoryWaste(
            repository=name, categories={c: Waste(category=c, bytes=unknown) for c in names},
            total=Waste(category="total", bytes=unknown), gap="could not be read",
        )  # fmt: skip
    units = _Units(inventory)
    used = question.except_for.get(name, frozenset())
    # What is in use holds on to all that goes with it, also when only a child of an index runs.
    roots = [r for r in units.roots if not used or used.isdisjoint(units.reach([r]))]
    young = question.now - question.grace
    pulls = {image.digest: units.last_pull(image) for image in roots}
    old = question.now - question.unused_for
    never = [i for i in roots if pulls[i.digest] is None and i.pushed_at < young]
    lately = [i for i in roots if (at := pulls[i.digest]) is not None and at < old]
    chosen: dict[str, list[Image]] = {
        "untagged": [i for i in roots if not i.tags],
        "never_pulled": never,
        "not_pulled_lately": lately,
        "superseded": [i for i in _superseded(units, question.convention, question.keep) if i.digest in pulls],
        "orphaned_referrers": [i for i in units.orphans if i.digest not in used],
    }
    # An index that was not read may hold on to any untagged image.
    uncertain = {i.digest for i in roots if not i.tags} if inventory.opaque_indexes else set[str]()
    everything = list({image.digest: image for images in chosen.values() for image in images}.values())
    return RepositoryWaste(
        repository=name,
        categories={c: _waste(c, units, images, uncertain) for c, images in chosen.items()},
        total=_waste("total", units, everything, uncertain),
    )


def _waste(category: str, units: _Units, images: list[Image], uncertain: set[str]) -> Waste:
    going = units.going(images)
    if not going:
        return Waste(category=category)
    freed = freed_by(units.inventory, going)
    if not uncertain.isdisjoint(going):
        sure = freed_by(units.inventory, units.going(i for i in images if i.digest not in uncertain) - uncertain)
        freed = ByteRange(min(sure.low, freed.low), freed.high, (*freed.reasons, _OPAQUE))
    # In the order of the listing, so that equal inventories give equal reports.
    digests = tuple(i.digest for i in units.inventory.images if i.digest in going)
    return Waste(category=category, images=len(digests), bytes=freed, digests=digests)


def waste(
    inventories: Inventories,
    *,
    now: dt.datetime,
    unused_days: float = 90,
    grace_days: float = 1,
    keep_releases: int = 1,
    convention: TagConventions | Convention | None = None,
    in_use: Mapping[str, Iterable[str]] | None = None,
    executor: Executor | None = None,
) -> WasteReport:
    """Return the images that nobody seems to need, by reason, and the bytes that removing them would free.

    An image, its children and its referrers are looked at together: pulled is what any of them was pulled. What an
    image that stays holds on to, such as a child of two indexes, is no waste. Categories overlap; the total counts no
    byte twice.

    - `untagged`: no tag, not the child of an index, no referrer.
    - `never_pulled`: no recorded pull, and pushed before the grace.
    - `not_pulled_lately`: last pulled before `unused_days`. A scan may count as a pull (containers-roadmap#921).
    - `superseded`: each of its tags follows the convention, and has newer ones in its line.
    - `orphaned_referrers`: a signature, SBOM or attestation of an image that is not in the repository.

    Args:
        inventories: as `storage` takes them.
        now: the time to count from.
        unused_days: how long without a pull is lately no more.
        grace_days: how old an image without a pull must be. ECR records pulls at least once in 24 hours.
        keep_releases: how many newest releases of each line are not superseded.
        convention: which tags are releases, in which lines and in which order: `images.TagConventions`, or a function.
            By default full versions (`v1.4.0`, `1.4.0-rc.1`), those with the same variant (`-alpine`) being one line;
            an image with any other tag, such as `latest`, is not superseded.
        in_use: digests by repository that are in use and so no waste, with all that goes with them.
        executor: where to work; the function and the convention must be picklable for one of processes.

    Raises:
        InvalidInput: a number is negative, or a repository comes twice.

    Example:
        >>> from ecrkit.images import Inventory
        >>> at = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
        >>> details = [{"imageDigest": "sha256:" + c * 64, "imagePushedAt": 0, "imageTags": [tag],
        ...             "imageManifestMediaType": "application/vnd.docker.distribution.manifest.v2+json",
        ...             "imageSizeInBytes": 100} for c, tag in zip("ab", ["v1.9.0", "v1.10.0"])]
        >>> report = waste(Inventory.from_api(details, repository="app"), now=at)
        >>> [digest[:9] for digest in report["app"].categories["superseded"].digests]
        ['sha256:aa']
    """
    wrong = [n for n, v in (("unused_days", unused_days), ("grace_days", grace_days)) if v < 0]
    if wrong or keep_releases < 1:
        name = wrong[0] if wrong else "keep_releases"
        raise InvalidInput.single("no question about waste", name, "must not be negative" if wrong else "must be >= 1")
    tells = convention.group_and_key if isinstance(convention, TagConventions) else convention
    question = _Question(
        now=require_aware(now, "now"),
        unused_for=dt.timedelta(days=unused_days),
        grace=dt.timedelta(days=grace_days),
        keep=keep_releases,
        convention=tells or _versions,
        except_for={name: frozenset(digests) for name, digests in (in_use or {}).items()},
    )
    found = tuple(each_chunk(partial(_look, question=question), inventories, executor))
    return WasteReport(repositories=found, as_of=question.now, unused_for=question.unused_for)
