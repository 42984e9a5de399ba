"""Base images: which images rest on which, which bases have moved since, and so what to rebuild, in which order.

An image rests on another whose layers, by digest and from the lowest, are the beginning of its own: that is what FROM
leaves in a manifest. The annotations `org.opencontainers.image.base.name` and `.digest` (OCI image-spec, annotations),
or labels of those names in the config, say it in words; words are checked against the layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table, text_table
from ecrkit.errors import InvalidInput, InvalidReference
from ecrkit.images.config import ImageConfig
from ecrkit.images.inventory import Inventory
from ecrkit.images.manifest import Manifest
from ecrkit.images.runnable import runnable_images
from ecrkit.refs import ImageRef

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BaseClaim", "BaseReport", "BaseUse", "Place", "base_images"]

BaseStatus = Literal["current", "moved", "gone", "untagged", "unknown"]
Check = Literal["confirmed", "contradicted", "unverified"]

_NAME: Final = "org.opencontainers.image.base.name"
_DIGEST: Final = "org.opencontainers.image.base.digest"


@attrs.frozen(order=True)
class Place(Record):
    """An image of a repository."""

    repository: str
    digest: str

    @override
    def __str__(self) -> str:
        return f"{self.repository}@{self.digest[:19]}"


@attrs.frozen(kw_only=True)
class BaseClaim(Record):
    """What an image says its base is, and whether its layers bear it out.

    `confirmed`: the named image is known and its layers are the beginning of this one's. `contradicted`: it is known
    and they are not. `unverified`: it is not known here, or its manifest was not read.
    """

    name: str | None
    digest: str | None
    check: Check


@attrs.frozen(kw_only=True)
class BaseUse(Record):
    """One image of one platform, and what it rests on.

    `bases` are the images with the most layers that this one begins with, in other repositories as a rule; several
    when the same layers are in several images. `layers` counts those layers. `tags` are the image's own and those of
    the indexes that list it. `status` is

    - `current`: a tag names those layers now;
    - `moved`: the tag that named them names others now, those of `now`;
    - `gone`: the tag that named them does not exist any more;
    - `untagged`: the base has no tag, and which one it had is not known;
    - `unknown`: no base was found here, and the image does not say.

    `reason` says how that is known.
    """

    image: Place
    platform: str | None = None
    tags: tuple[str, ...] = ()
    bases: tuple[Place, ...] = ()
    layers: int = 0
    claim: BaseClaim | None = None
    status: BaseStatus = "unknown"
    now: Place | None = None
    reason: str = ""

    @property
    def outdated(self) -> bool:
        """Whether a rebuild would rest on something else: the base has moved, is gone, or lost its tag."""
        return self.status in ("moved", "gone", "untagged")


_HEADER: Final = ("image", "platform", "rests on", "layers", "status", "why")


@attrs.frozen(kw_only=True)
class BaseReport(Record):
    """What the images of some repositories rest on. `unread` are those whose manifest was not read."""

    uses: tuple[BaseUse, ...] = ()
    unread: tuple[Place, ...] = ()
    _parents: Mapping[Place, tuple[Place, ...]] = attrs.field(factory=dict, repr=False, eq=False, alias="parents")

    @property
    def outdated(self) -> tuple[BaseUse, ...]:
        """The uses whose base has moved, is gone or lost its tag."""
        return tuple(use for use in self.uses if use.outdated)

    def of(self, repository: str, digest: str) -> tuple[BaseUse, ...]:
        """Return what an image rests on, or each platform of an index; nothing when the report does not know it."""
        return self._by_image.get((repository, digest), ())

    @cached_property
    def _by_image(self) -> Mapping[tuple[str, str], tuple[BaseUse, ...]]:
        found: dict[tuple[str, str], list[BaseUse]] = {}
        for use in self.uses:
            for place in (use.image, *self._parents.get(use.image, ())):
                found.setdefault((place.repository, place.digest), []).append(use)
        return {key: tuple(uses) for key, uses in found.items()}

    def resting_on(self, repository: str, digest: str | None = None) -> tuple[BaseUse, ...]:
        """Return the images that rest directly on an image, on a platform of an index, or on any of a repository."""
        return tuple(
            use
            for use in self.uses
            if any(
                base.repository == repository
                and (digest is None or digest in (base.digest, *(p.digest for p in self._parents.get(base, ()))))
                for base in use.bases
            )
        )

    def rebuild_order(self) -> tuple[tuple[Place, ...], ...]:
        """Return what to rebuild, in waves: each wave rests on the ones before it and on what needs no rebuild.

        An image is rebuilt when its base is outdated, or when its base is rebuilt itself. Only what a tag names is
        rebuilt, as a whole: an index with all of its platforms.
        """
        needs: dict[Place, set[Place]] = {}
        direct: set[Place] = set()
        for use in self.uses:
            for unit in self._units(use.image) if use.tags else ():
                # A rebuild takes what the tag names by then, so it waits for that as well.
                below = use.bases if use.now is None else (*use.bases, use.now)
                rests = {above for base in below for above in self._units(base)} - {unit}
                needs.setdefault(unit, set()).update(rests)
                if use.outdated:
                    direct.add(unit)
        due = set(direct)
        while True:
            more = {unit for unit, rests in needs.items() if unit not in due and rests & due}
            if not more:
                break
            due |= more
        waves: list[tuple[Place, ...]] = []
        while due:
            ready = {unit for unit in due if not needs[unit] & due}
            # Layers cannot rest on each other in a circle; what is left over goes last in any case.
            ready = ready or set(due)
            waves.append(tuple(sorted(ready)))
            due -= ready
        return tuple(waves)

    def _units(self, place: Place) -> tuple[Place, ...]:
        """Return the outermost indexes that list the image, or the image itself."""
        outermost = (above for above in self._parents.get(place, ()) if above not in self._parents)
        return tuple(outermost) or (place,)

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one row for each image and platform, as columns; `bases` holds `repository@digest` texts."""
        uses = self.uses
        return {
            "repository": [use.image.repository for use in uses],
            "digest": [use.image.digest for use in uses],
            "platform": [use.platform for use in uses],
            "tags": [use.tags for use in uses],
            "bases": [tuple(f"{base.repository}@{base.digest}" for base in use.bases) for use in uses],
            "layers": [use.layers for use in uses],
            "status": [use.status for use in uses],
            "claimed": [None if use.claim is None else use.claim.name for use in uses],
            "claim_check": [None if use.claim is None else use.claim.check for use in uses],
            "reason": [use.reason for use in uses],
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return `to_columns()` as a frame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def explain(self) -> str:
        """Return the uses as a table for people."""
        return text_table(_HEADER, self._rows(), right=frozenset({3}))

    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (
                f"{use.image.repository}:{use.tags[0]}" if use.tags else str(use.image),
                use.platform or "unknown",
                ", ".join(map(str, use.bases)) or (use.claim and use.claim.name) or "unknown",
                use.layers,
                use.status,
                use.reason,
            )
            for use in self.uses
        ]

    def _repr_html_(self) -> str:
        return html_table(_HEADER, self._rows(), caption=f"{len(self.uses)} images, {len(self.outdated)} outdated")


def base_images(
    inventories: Iterable[Inventory],
    *,
    bases: Iterable[str] | None = None,
    configs: Mapping[str, ImageConfig] | None = None,
    earlier_tags: Mapping[tuple[str, str], Iterable[str]] | None = None,
    mirrors: Mapping[str, str] | None = None,
) -> BaseReport:
    """Return what every image rests on, across repositories, and whether that has moved since.

    Without words from the image, a base is looked for in other repositories only, since builds of one repository share
    beginnings anyway. Linear in the layers of all images.

    Args:
        inventories: one for each repository, with their manifests.
        bases: the repositories where base images are looked for, the image's own included if it is named; all others
            when left out.
        configs: configs by their own digest; labels in them count where there is no annotation.
        earlier_tags: tags that an image had once, by (repository, digest), from an older snapshot for example. They
            tell which tag has moved away from a base.
        mirrors: what a base name begins with, and what stands in its place here, for example
            `{"docker.io/library/": "docker-hub/library/"}` for a pull-through cache.

    Raises:
        InvalidInput: an inventory has no repository name, or two have the same.

    Example:
        >>> from ecrkit.images import Inventory
        >>> from ecrkit.local.images import filler, image
        >>> from ecrkit.records import RawManifest
        >>> low = filler(9_000, seed="base")
        >>> def stored(name, tag, built):
        ...     detail = {"imageDigest": built.digest, "imageTags": [tag], "imagePushedAt": 0,
        ...               "imageManifestMediaType": built.media_type, "repositoryName": name}
        ...     manifest = RawManifest(digest=built.digest, media_type=built.media_type, text=built.manifest)
        ...     return Inventory.from_api([detail], manifests=[manifest])
        >>> report = base_images([
        ...     stored("base/python", "3.12", image([low])),
        ...     stored("team/app", "v1", image([low, filler(5_000)])),
        ... ])
        >>> [(use.bases[0].repository, use.layers, use.status) for use in report.uses if use.bases]
        [('base/python', 1, 'current')]
    """
    estate = _Estate(inventories, configs or {}, mirrors or {}, earlier_tags or {})
    return BaseReport(
        uses=tuple(estate.use(one, None if bases is None else frozenset(bases)) for one in estate.images),
        unread=tuple(estate.unread),
        parents={place: tuple(estate.above(place)) for place in estate.parents},
    )


@attrs.frozen
class _One:
    """An image of one platform, with its layers."""

    place: Place
    manifest: Manifest
    platform: str | None
    layers: tuple[str, ...]


class _Estate:
    """All repositories: images by the beginning of their layers, indexes above them, names and tags."""

    def __init__(
        self,
        inventories: Iterable[Inventory],
        configs: Mapping[str, ImageConfig],
        mirrors: Mapping[str, str],
        earlier_tags: Mapping[tuple[str, str], Iterable[str]],
    ) -> None:
        self.by_name: dict[str, Inventory] = {}
        self.images: list[_One] = []
        self.unread: list[Place] = []
        self.parents: dict[Place, tuple[Place, ...]] = {}
        self._configs, self._mirrors, self._earlier = configs, mirrors, earlier_tags
        self._homes: dict[str, list[Place]] = {}
        # A tree of layers: from a node and a digest to the next node, and the images that end at a node.
        self._next: dict[tuple[int, str], int] = {}
        self._ends: dict[int, list[_One]] = {}
        for inventory in inventories:
            name = inventory.repository
            if not name or name in self.by_name:
                what = "has no repository name" if not name else f"is the second of {name}"
                raise InvalidInput.single("not inventories of different repositories", "inventories", f"one {what}")
            self.by_name[name] = inventory
            self._read(inventory)

    def _read(self, inventory: Inventory) -> None:
        platforms = {
            entry.digest: entry.platform
            for manifest in inventory.manifests.values()
            for entry in manifest.platforms
            if entry.platform is not None
        }
        for image in inventory.images:
            place = Place(inventory.repository, image.digest)
            self._homes.setdefault(image.digest, []).append(place)
            above = inventory.parents_of(image.digest)
            if above:
                self.parents[place] = tuple(Place(inventory.repository, parent.digest) for parent in above)
            kind, manifest = inventory.kind_of(image.digest), inventory.manifests.get(image.digest)
            if manifest is None:
                if kind in ("image", "index", "unknown"):
                    self.unread.append(place)
            elif kind == "image":
                config = self._config(manifest)
                platform = platforms.get(image.digest) or (None if config is None else config.platform)
                layers = tuple(layer.digest for layer in manifest.layers)
                one = _One(place, manifest, None if platform is None else str(platform.normalized), layers)
                self.images.append(one)
                self._plant(one)

    def _plant(self, one: _One) -> None:
        node = 0
        for layer in one.layers:
            node = self._next.setdefault((node, layer), len(self._next) + 1)
        self._ends.setdefault(node, []).append(one)

    def _config(self, manifest: Manifest) -> ImageConfig | None:
        return None if manifest.config is None else self._configs.get(manifest.config.digest)

    def _tags(self, place: Place) -> tuple[str, ...]:
        inventory = self.by_name[place.repository]
        places = [place, *self.above(place)]
        return tuple(dict.fromkeys(tag for p in places for tag in inventory[p.digest].tags))

    def above(self, place: Place) -> Iterator[Place]:
        """Yield the indexes that list an image, the innermost first."""
        todo, seen = list(self.parents.get(place, ())), {place}
        while todo:
            above = todo.pop(0)
            if above not in seen:
                seen.add(above)
                yield above
                todo += self.parents.get(above, ())

    # ---- one image

    def use(self, one: _One, bases: frozenset[str] | None) -> BaseUse:
        found, depth = self._below(one, bases)
        claim = self._claim(one)
        named = None if claim is None else self._named(claim)
        if claim is not None and claim.check == "confirmed":
            told = [o for o in self._resolve(claim.digest)[0] if self._begins(one, o)]
            if len(told[0].layers) >= depth:
                found, depth = [o.place for o in told], len(told[0].layers)
        part = BaseUse(
            image=one.place,
            platform=one.platform,
            tags=self._tags(one.place),
            bases=tuple(sorted(found)),
            layers=depth,
            claim=claim,
        )
        if claim is not None and claim.check == "contradicted":
            judged = self._by_tags(part, one)
            return attrs.evolve(
                judged, reason=f"it does not begin with the layers of the base it names; {judged.reason}"
            )
        if named is not None and claim is not None:
            return self._by_name(part, one, named, claim.digest)
        return self._by_tags(part, one)

    def _below(self, one: _One, bases: frozenset[str] | None) -> tuple[list[Place], int]:
        """Return the images with the longest real beginning of the layers, and its length."""
        node, best, depth = 0, list[Place](), 0
        for number, layer in enumerate(one.layers[:-1], 1):
            node = self._next[node, layer]
            places = [
                o.place
                for o in self._ends.get(node, ())
                if (o.place.repository in bases if bases is not None else o.place.repository != one.place.repository)
            ]
            if places:
                best, depth = places, number
        return best, depth

    def _begins(self, one: _One, base: _One) -> bool:
        return len(base.layers) > 0 and one.layers[: len(base.layers)] == base.layers and base.place != one.place

    # ---- what the image says

    def _claim(self, one: _One) -> BaseClaim | None:
        config = self._config(one.manifest)
        words = {**(config.labels if config is not None else {}), **one.manifest.annotations}
        name, digest = words.get(_NAME) or None, words.get(_DIGEST) or None
        if name is None and digest is None:
            return None
        images, complete = self._resolve(digest)
        check: Check = "unverified"
        if any(self._begins(one, o) for o in images):
            check = "confirmed"
        elif complete:
            check = "contradicted"
        return BaseClaim(name=name, digest=digest, check=check)

    def _resolve(self, digest: str | None) -> tuple[list[_One], bool]:
        """Return the images that a digest names, wherever they are, and whether all of them were read."""
        places = self._homes.get(digest or "", ())
        found = [self._platforms(place) for place in places]
        return [o for images, _ in found for o in images], bool(found) and all(complete for _, complete in found)

    def _platforms(self, place: Place) -> tuple[list[_One], bool]:
        inventory = self.by_name[place.repository]
        manifest = inventory.manifests.get(place.digest)
        if manifest is None:
            return [], False
        runnable = runnable_images(manifest, manifests=inventory.manifests)
        read = [
            _One(Place(place.repository, r.digest), r.manifest, None, tuple(x.digest for x in r.manifest.layers))
            for r in runnable
            if r.manifest is not None
        ]
        return read, len(read) == len(runnable)

    def _named(self, claim: BaseClaim) -> tuple[str, str] | None:
        """Return repository and tag of the name, when that repository is here."""
        name = claim.name or ""
        # In reverse order a longer prefix comes before a shorter one that begins it.
        for prefix, local in sorted(self._mirrors.items(), reverse=True):
            if name.startswith(prefix):
                name = local + name.removeprefix(prefix)
                break
        try:
            ref = ImageRef.parse(name)
        except InvalidReference:
            return None
        if ref.repository not in self.by_name or (ref.registry is not None and ref.registry.public):
            return None
        return None if ref.tag is None and ref.digest is not None else (ref.repository, ref.tag or "latest")

    # ---- whether the base has moved

    def _by_name(self, use: BaseUse, one: _One, named: tuple[str, str], digest: str | None) -> BaseUse:
        """Judge by what a tag names now; `digest` is what it named when the image was built, if that is known."""
        repository, tag = named
        inventory = self.by_name[repository]
        image = inventory.by_tag(tag)
        if image is None:
            return attrs.evolve(use, status="gone", reason=f"{repository}:{tag} does not exist")
        now = Place(repository, image.digest)
        if digest in (image.digest, *inventory.children_of(image.digest)):
            return attrs.evolve(use, status="current", reason=f"{repository}:{tag} is still that image")
        read, complete = self._platforms(now)
        if any(self._begins(one, o) for o in read):
            return attrs.evolve(use, status="current", reason=f"it begins with the layers of {repository}:{tag}")
        if not complete and digest is None:
            return attrs.evolve(use, reason=f"not all of {repository}:{tag} was read")
        return attrs.evolve(use, status="moved", now=now, reason=f"{repository}:{tag} is another image now")

    def _by_tags(self, use: BaseUse, one: _One) -> BaseUse:
        """Judge by the tags of the bases, once and now."""
        if not use.bases:
            return attrs.evolve(use, reason="no base of it is known here")
        tags = [(base.repository, tag) for base in use.bases for tag in self._tags(base)]
        once = [
            self._by_name(use, one, (place.repository, tag), None)
            for base in use.bases
            for place in (base, *self.above(base))
            for tag in self._earlier.get((place.repository, place.digest), ())
        ]
        moved = next((judged for judged in once if judged.status == "moved"), None)
        if moved is not None:
            return moved
        if tags:
            return attrs.evolve(use, status="current", reason=f"{tags[0][0]}:{tags[0][1]} has these layers")
        return once[0] if once else attrs.evolve(use, status="untagged", reason=f"{use.bases[0]} has no tag any more")
