"""Image configs: what an image runs as, and which instruction made each of its layers.

Format: OCI image-spec, image configuration; Docker's container image config has the same members.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import parse_time
from ecrkit.errors import InvalidInput, Problem
from ecrkit.images.descriptor import Platform
from ecrkit.images.json_document import load_document
from ecrkit.images.manifest import Manifest

__all__ = ["MAX_CONFIG_BYTES", "HistoryEntry", "ImageConfig", "LayerOrigin", "largest_layers", "layer_origins"]

MAX_CONFIG_BYTES: Final = 8_388_608
"""The longest config that is read; those of real images have a few KB."""


@attrs.frozen(kw_only=True)
class HistoryEntry(Record):
    """One step of a build. A step with `empty_layer` changed the config only and made no layer."""

    created_by: str | None = None
    created_at: dt.datetime | None = None
    comment: str | None = None
    empty_layer: bool = False


@attrs.frozen(kw_only=True)
class ImageConfig(Record):
    """What an image says of itself. `entrypoint` and `command` are None where the image sets none.

    `diff_ids` are the digests of the uncompressed layers, lowest first. An empty `user` means root.

    Example:
        >>> config = ImageConfig.parse('{"os": "linux", "architecture": "arm64", "config": {"User": "app"}}')
        >>> str(config.platform), config.user, config.runs_as_root
        ('linux/arm64', 'app', False)
    """

    digest: str
    platform: Platform | None = None
    created_at: dt.datetime | None = None
    author: str | None = None
    user: str = ""
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    environment: tuple[str, ...] = attrs.field(default=(), repr=False)
    working_dir: str | None = None
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str | None = None
    labels: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    diff_ids: tuple[str, ...] = ()
    history: tuple[HistoryEntry, ...] = ()

    @property
    def runs_as_root(self) -> bool:
        """Whether the image starts as root, by name or by number, unless Kubernetes says otherwise."""
        return self.user.split(":")[0] in ("", "root", "0")

    @classmethod
    def parse(cls, text: str | bytes, *, digest: str | None = None) -> ImageConfig:
        """Parse the config blob of an image, and check it against its digest.

        The config of an artifact (`{}`, a Helm chart's) parses as well: it says next to nothing.

        Raises:
            InvalidInput: no JSON, more than 8 MiB, a member of the wrong kind, or another digest; `problems` names
                every fault with its JSON path.
        """
        raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        document = load_document(raw, limit=MAX_CONFIG_BYTES, what="invalid image config", error=InvalidInput)
        computed = "sha256:" + hashlib.sha256(raw).hexdigest()
        reader = _Reader()
        if digest is not None and digest != computed:
            reader.problem("$", f"the text has the digest {computed}, it was asked for as {digest}")
        settings = reader.mapping(document.get("config"), "$.config")
        rootfs = reader.mapping(document.get("rootfs"), "$.rootfs")
        found = cls(
            digest=computed,
            platform=reader.platform(document),
            created_at=reader.time(document.get("created"), "$.created"),
            author=reader.text(document.get("author"), "$.author"),
            user=reader.text(settings.get("User"), "$.config.User") or "",
            entrypoint=reader.command(settings.get("Entrypoint"), "$.config.Entrypoint"),
            command=reader.command(settings.get("Cmd"), "$.config.Cmd"),
            environment=reader.texts(settings.get("Env"), "$.config.Env"),
            working_dir=reader.text(settings.get("WorkingDir"), "$.config.WorkingDir"),
            exposed_ports=tuple(sorted(reader.mapping(settings.get("ExposedPorts"), "$.config.ExposedPorts"))),
            volumes=tuple(sorted(reader.mapping(settings.get("Volumes"), "$.config.Volumes"))),
            stop_signal=reader.text(settings.get("StopSignal"), "$.config.StopSignal"),
            labels=reader.labels(settings.get("Labels"), "$.config.Labels"),
            diff_ids=reader.texts(rootfs.get("diff_ids"), "$.rootfs.diff_ids"),
            history=reader.history(document.get("history")),
        )
        if reader.problems:
            raise InvalidInput(f"invalid image config {digest or computed}", reader.problems)
        return found


class _Reader:
    """Reads members and collects every problem with its path. A member that is null counts as absent."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def problem(self, path: str, message: str) -> None:
        self.problems.append(Problem(path, message))

    def mapping(self, raw: Any, path: str) -> Mapping[str, Any]:
        if raw is None:
            return {}
        if isinstance(raw, dict):
            return raw
        self.problem(path, "must be an object")
        return {}

    def text(self, raw: Any, path: str) -> str | None:
        if raw is None or isinstance(raw, str):
            return raw or None
        self.problem(path, "must be a string")
        return None

    def texts(self, raw: Any, path: str) -> tuple[str, ...]:
        if raw is None:
            return ()
        if isinstance(raw, list) and all(isinstance(item, str) for item in raw):
            return tuple(raw)
        self.problem(path, "must be a list of strings")
        return ()

    def command(self, raw: Any, path: str) -> tuple[str, ...] | None:
        # An empty list is how builders write that there is none.
        return self.texts(raw, path) or None

    def labels(self, raw: Any, path: str) -> Mapping[str, str]:
        found = self.mapping(raw, path)
        if all(isinstance(value, str) for value in found.values()):
            return dict(found)
        self.problem(path, "must be an object of strings")
        return {}

    def time(self, raw: Any, path: str) -> dt.datetime | None:
        if raw is None or raw == "":
            return None
        if isinstance(raw, str):
            try:
                return parse_time(raw)
            except ValueError:
                pass
        self.problem(path, f"must be a time as RFC 3339 writes it, not {raw!r:.60}")
        return None

    def platform(self, document: Mapping[str, Any]) -> Platform | None:
        name, architecture = (
            self.text(document.get("os"), "$.os"),
            self.text(document.get("architecture"), "$.architecture"),
        )
        variant, version = (
            self.text(document.get("variant"), "$.variant"),
            self.text(document.get("os.version"), "$['os.version']"),
        )
        if name is None or architecture is None:
            return None
        return Platform(os=name, architecture=architecture, variant=variant, os_version=version)

    def history(self, raw: Any) -> tuple[HistoryEntry, ...]:
        if raw is None:
            return ()
        if not isinstance(raw, list):
            self.problem("$.history", "must be a list")
            return ()
        return tuple(self._entry(item, f"$.history[{number}]") for number, item in enumerate(raw))

    def _entry(self, raw: Any, path: str) -> HistoryEntry:
        entry = self.mapping(raw, path)
        empty = entry.get("empty_layer")
        if empty is not None and not isinstance(empty, bool):
            self.problem(f"{path}.empty_layer", "must be true or false")
        return HistoryEntry(
            created_by=self.text(entry.get("created_by"), f"{path}.created_by"),
            created_at=self.time(entry.get("created"), f"{path}.created"),
            comment=self.text(entry.get("comment"), f"{path}.comment"),
            empty_layer=empty is True,
        )


@attrs.frozen(kw_only=True)
class LayerOrigin(Record):
    """A layer and the instruction that made it, as the config's history tells; None when it does not tell.

    `number` counts the layers from the lowest, which is 0. `size` is in bytes, compressed; None in schema 1.
    """

    number: int
    digest: str
    size: int | None
    instruction: str | None = None
    created_at: dt.datetime | None = None


def layer_origins(manifest: Manifest, config: ImageConfig | None = None) -> tuple[LayerOrigin, ...]:
    """Return the layers of an image, lowest first, each with the instruction that made it.

    History entries that are no `empty_layer` belong to the layers in order (OCI image-spec). When their number is not
    that of the layers, or there is no config, no instruction is told: a guess would blame the wrong line.
    """
    made = [entry for entry in (config.history if config else ()) if not entry.empty_layer]
    entries = made if len(made) == len(manifest.layers) else [HistoryEntry()] * len(manifest.layers)
    return tuple(
        LayerOrigin(
            number=number,
            digest=layer.digest,
            size=layer.size,
            instruction=entry.created_by,
            created_at=entry.created_at,
        )
        for number, (layer, entry) in enumerate(zip(manifest.layers, entries, strict=True))
    )


def largest_layers(
    manifest: Manifest, config: ImageConfig | None = None, *, count: int = 10
) -> tuple[LayerOrigin, ...]:
    """Return the largest layers of an image, largest first, each with the instruction that made it.

    A layer that the image has several times is named once, at its lowest place. Without sizes (schema 1) the order is
    that of the layers.

    Example:
        >>> from ecrkit.images import Manifest
        >>> from ecrkit.local.images import filler, image
        >>> built = image([filler(9_000), filler(50_000, created_by="RUN pip install torch")])
        >>> manifest = Manifest.parse(built.manifest)
        >>> config = ImageConfig.parse(built.blobs[manifest.config.digest])
        >>> [(layer.size, layer.instruction) for layer in largest_layers(manifest, config, count=1)]
        [(50000, 'RUN pip install torch')]
    """
    lowest = {origin.digest: origin for origin in reversed(layer_origins(manifest, config))}
    ranked = sorted(lowest.values(), key=lambda o: (o.size or 0, -o.number), reverse=True)
    return tuple(ranked[:count])
