"""Signs of use that no cluster tells: recent pulls, Inspector, texts that name an image, images built on it.

Each gives an `InUse` to be joined with others by `|`.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ecrkit._internal.globs import compile_glob
from ecrkit._internal.times import iso, parse_time, require_aware
from ecrkit.deployments.in_use import Gap, InUse, Use, Workload
from ecrkit.errors import InvalidInput, InvalidReference
from ecrkit.events import ApiCall, Event
from ecrkit.images.bases import BaseReport
from ecrkit.images.inventory import Inventory
from ecrkit.refs import ImageRef, RegistryHost

__all__ = ["SCANNERS", "named_in_folder", "named_in_text", "pulled_since", "rested_on", "seen_by_inspector"]

SCANNERS: Final = ("*:role/aws-service-role/inspector2.amazonaws.com/*", "*:role/aws-service-role/ecr.amazonaws.com/*")
"""Roles whose pulls are no use: Inspector's and ECR's own. Add those of other scanners."""

_REFERENCE: Final = re.compile(
    r"[0-9]{12}\.dkr(?:\.ecr|-ecr)[a-z0-9.-]{1,80}/[a-z0-9][a-z0-9._/-]{1,255}"
    r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_COMPOSED: Final = re.compile(r"[:@/._-]*(?:\$[{(A-Za-z_]|\{\{)|[:@/._-]+(?:\{|%[sdv])")
"""What goes on after a name in a template: a variable of a shell, of Helm, of Python or of Go."""
_MOST_BYTES: Final = 4 * 1024 * 1024
_SUFFIXES: Final = (".yaml", ".yml", ".json", ".tf", ".tfvars", ".toml", ".env", ".sh", "Dockerfile", ".dockerfile")


def pulled_since(
    inventory: Inventory,
    host: RegistryHost,
    *,
    now: dt.datetime,
    days: int,
    calls: Iterable[Event] | None = None,
    scanners: Sequence[str] = SCANNERS,
) -> InUse:
    """Return the images that were pulled within the last `days` days.

    ECR's last pull time is refreshed by anybody's pull, a scanner's too, unless the principal is excluded from pull
    time updates, and may be a day late. With `calls` from CloudTrail only pulls by others than the `scanners` count,
    and the last pull times are not looked at. A pull by tag is of the image that the tag named then: the pushes among
    the calls tell which. Without them a tag whose image is younger than the pull has moved, and is a gap; a tag that is
    gone is left out, as CloudTrail does not tell pulls that found nothing from others.

    Args:
        inventory: of one repository.
        host: the registry that it is in.
        now: the instant to count from.
        days: of 24 hours.
        calls: what CloudTrail recorded in that time, `PULLS` and better `PUSHES` too; it must reach back as far, or
            pulls are missed.
        scanners: patterns of role ARNs (only `*` is special) whose pulls do not count.

    Example:
        >>> from ecrkit.records import Image
        >>> now = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
        >>> images = [Image(digest="sha256:" + c * 64, pushed_at=now, last_pulled_at=now - dt.timedelta(days=n * 20))
        ...           for n, c in enumerate("ab")]
        >>> found = pulled_since(Inventory(images, repository="team/app"),
        ...                      RegistryHost.private("123456789012", "eu-west-1"), now=now, days=14)
        >>> [use.digest[:8] for use in found]
        ['sha256:a']
    """
    now = require_aware(now, "now")
    try:
        edge = now - dt.timedelta(days=days)
    except OverflowError:
        edge = dt.datetime.min.replace(tzinfo=dt.UTC)  # all there ever was
    gaps: list[Gap] = []
    if calls is None:
        found = {i.digest: i.last_pulled_at for i in inventory if i.last_pulled_at and i.last_pulled_at >= edge}
        pullers: Mapping[str, str] = {}
    else:
        found, pullers, gaps = _pulls(inventory, tuple(calls), edge, list(map(compile_glob, scanners)))
    uses = [
        Use(
            reference=f"{host}/{inventory.repository}@{digest}",
            digest=digest,
            workload=Workload(platform="pull", kind="Pull", name=pullers.get(digest) or "by an unknown principal"),
            since=at,
            source="last pull time" if calls is None else "CloudTrail",
        )
        for digest, at in sorted(found.items())
    ]
    return InUse(uses, gaps=gaps)


def _pulls(
    inventory: Inventory, calls: Sequence[Event], edge: dt.datetime, scanners: Sequence[Callable[[str], bool]]
) -> tuple[dict[str, dt.datetime], dict[str, str], list[Gap]]:
    found: dict[str, dt.datetime] = {}
    pullers: dict[str, str] = {}
    moved: dict[str, Gap] = {}
    pushes = _pushes(inventory, calls)
    for call in calls:
        if (
            not isinstance(call, ApiCall)
            or not call.is_pull
            or call.repository != inventory.repository
            or call.at < edge
        ):
            continue
        principal = call.role or call.principal or ""
        if any(scanner(principal) for scanner in scanners):
            continue
        for image in call.images:
            digest = image.digest
            if digest is None and image.tag:
                digest, known = _named_then(inventory, pushes.get(image.tag, ()), image.tag, call.at)
                if not known:
                    where = f"pull of {inventory.repository}:{image.tag} at {iso(call.at)}"
                    why = "the tag has moved since, and no push tells what it named; read the pushes (PutImage) too"
                    moved.setdefault(image.tag, Gap(where=where, why=why))
            if digest is not None and digest in inventory and found.get(digest, edge) <= call.at:
                found[digest] = call.at
                pullers[digest] = f"by {principal}" if principal else ""
    return found, pullers, list(moved.values())


def _pushes(inventory: Inventory, calls: Iterable[Event]) -> dict[str, list[tuple[dt.datetime, str]]]:
    """Return the pushes of each tag in order of time, each with its digest."""
    found: dict[str, list[tuple[dt.datetime, str]]] = {}
    for call in calls:
        if isinstance(call, ApiCall) and call.is_push and call.repository == inventory.repository:
            for image in call.images:
                if image.tag and image.digest:
                    found.setdefault(image.tag, []).append((call.at, image.digest))
    for listed in found.values():
        listed.sort()
    return found


def _named_then(
    inventory: Inventory, pushes: Sequence[tuple[dt.datetime, str]], tag: str, at: dt.datetime
) -> tuple[str | None, bool]:
    """Return what a tag named at that time, and whether that is known."""
    before = bisect_right(pushes, at, key=lambda push: push[0])
    if before:
        return pushes[before - 1][1], True
    held = inventory.by_tag(tag)
    if held is None:
        return None, True
    if pushes or held.pushed_at > at:
        return None, False
    return held.digest, True


def seen_by_inspector(
    answers: Iterable[Mapping[str, Any]], *, within: dt.timedelta | None = None, now: dt.datetime
) -> InUse:
    """Return the images that Inspector sees running, from items of ListFindings or ListCoverage.

    Inspector counts the Pods and tasks that run an image in the clusters it watches (`inUseCount`) and says when one
    last did (`lastInUseAt`). Of findings every one tells the same of its image. An image without findings shows in
    coverage only. Source: Inspector API reference, AwsEcrContainerImageDetails and EcrContainerImageMetadata.

    Args:
        answers: items as boto3 returns them.
        within: count an image that is not running now but was within this time as well.
        now: the instant to count from.
    """
    now = require_aware(now, "now")
    uses: dict[str, Use] = {}
    gaps: list[Gap] = []
    for number, item in enumerate(answers):
        for arn, told in _inspected(item):
            count, last = told.get("inUseCount"), _time(told.get("lastInUseAt"))
            running = isinstance(count, int) and count > 0
            if not running and (fault := _unread(told, dated=within is not None)):
                gaps.append(Gap(where=f"Inspector item {number}", why=f"{arn!r:.120}: {fault}"))
                continue
            recent = within is not None and last is not None and last >= now - within
            if not running and not recent:
                continue
            try:
                ref = ImageRef.parse(arn)
            except InvalidReference:
                ref = None
            if ref is None or ref.registry is None:
                gaps.append(Gap(where=f"Inspector item {number}", why=f"{arn!r:.120} is no ARN of an image"))
                continue
            name = f"{count} running" if running else "not running now"
            workload = Workload(platform="inspector", kind="Image", name=name)
            uses[arn] = Use(
                reference=ref.uri,
                digest=None if ref.digest is None else str(ref.digest),
                workload=workload,
                since=last,
                source="Inspector",
            )
    return InUse(uses.values(), gaps=gaps)


def _inspected(item: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    metadata = item.get("resourceMetadata")
    if isinstance(metadata, Mapping) and isinstance(metadata.get("ecrImage"), Mapping):
        yield str(item.get("resourceId")), metadata["ecrImage"]
    listed = item.get("resources")
    for resource in listed if isinstance(listed, list) else ():
        details = resource.get("details") if isinstance(resource, Mapping) else None
        image = details.get("awsEcrContainerImage") if isinstance(details, Mapping) else None
        if isinstance(image, Mapping):
            yield str(resource.get("id")), image


def _unread(told: Mapping[str, Any], *, dated: bool) -> str:
    """Return which member cannot be read, so that nobody can say whether the image runs."""
    count, last = told.get("inUseCount"), told.get("lastInUseAt")
    if count is not None and not isinstance(count, int):
        return f"inUseCount is {count!r:.40}"
    if dated and last is not None and _time(last) is None:
        return f"lastInUseAt is {last!r:.40}"
    return ""


def _time(value: object) -> dt.datetime | None:
    try:
        return None if value is None else parse_time(value)
    except ValueError:
        return None


def named_in_text(text: str, *, name: str) -> InUse:
    """Return the images of private registries that a text names in full, such as a manifest, a values file, a script.

    A name that a tool puts together from parts, as Kustomize and Helm do, cannot be seen: render it first. Where its
    first parts are in the text, as in `.../team/app:${TAG}`, it is a gap.

    Args:
        text: of any format.
        name: of the file, for people; the line is added.

    Example:
        >>> host = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
        >>> [use] = named_in_text(f"image: {host}/team/app:v1  # pinned", name="deploy.yaml")
        >>> use.reference.rpartition("/")[2], use.workload.name
        ('app:v1', 'deploy.yaml:1')
    """
    uses: list[Use] = []
    gaps: list[Gap] = []
    for number, line in enumerate(text.splitlines(), 1):
        for found in _REFERENCE.finditer(line):
            where, reference = f"{name}:{number}", found[0]
            end = found.end()
            begun = end - len(reference) + len(reference.rstrip("/._-"))
            if _COMPOSED.match(line, begun, end + 4):
                why = f"{reference:.120} goes on with parts that are not in the text; render it first"
                gaps.append(Gap(where=where, why=why))
                continue
            # Without a tag, what ends like a sentence is one.
            named = reference if ":" in reference else reference.rstrip("/._-")
            uses.append(
                Use(reference=named, workload=Workload(platform="text", kind="File", name=where), source="text")
            )
    return InUse(uses, gaps=gaps)


def named_in_folder(folder: str | os.PathLike[str], *, suffixes: Sequence[str] = _SUFFIXES) -> InUse:
    """Return the images that the files below a folder name in full, such as those of a GitOps repository.

    Links are not followed, and `.git` is not looked into. A file that cannot be read, is no UTF-8 or has more than
    4 MiB is a gap, and so is a name that goes on with a variable.

    Args:
        folder: a checkout, for example.
        suffixes: of the names of the files to read.

    Raises:
        InvalidInput: there is no such folder.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InvalidInput.single("no references", "folder", f"{str(root)!r} is no folder")
    uses: list[Use] = []
    gaps: list[Gap] = []
    for at, folders, files in os.walk(
        root, onerror=lambda fault: gaps.append(Gap(where=str(fault.filename), why=str(fault)))
    ):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in sorted(files):
            path = Path(at, name)
            if not name.endswith(tuple(suffixes)) or path.is_symlink():
                continue
            shown = path.relative_to(root).as_posix()
            try:
                if path.stat().st_size > _MOST_BYTES:
                    gaps.append(Gap(where=shown, why=f"has more than {_MOST_BYTES} bytes"))
                    continue
                found = named_in_text(path.read_text("utf-8"), name=shown)
                uses.extend(found.uses)
                gaps.extend(found.gaps)
            except (OSError, UnicodeDecodeError) as fault:
                gaps.append(Gap(where=shown, why=str(fault)))
    return InUse(uses, gaps=gaps)


def rested_on(in_use: InUse, bases: BaseReport, host: RegistryHost) -> InUse:
    """Return the base images that images in use rest on, directly or through other bases.

    Args:
        in_use: the images that run.
        bases: what the images of the registry rest on, from `ecrkit.images.base_images`.
        host: the registry that they all are in.
    """
    tagged: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for one in bases.uses:
        for tag in one.tags:
            tagged.setdefault((one.image.repository, tag), set()).add((one.image.repository, one.image.digest))
    found: dict[tuple[str, str], Use] = {}
    for use in in_use:
        ref = use.ref
        if ref is None or ref.registry != host:
            continue
        repository = str(ref.repository)
        digest = use.digest or (None if ref.digest is None else str(ref.digest))
        waiting = [(repository, digest)] if digest else list(tagged.get((repository, str(ref.tag or "latest")), ()))
        seen = set(waiting)
        while waiting:
            for base in {(b.repository, b.digest) for one in bases.of(*waiting.pop()) for b in one.bases} - seen:
                seen.add(base)
                waiting.append(base)
                workload = Workload(platform="image", kind="BaseOf", name=f"{repository} ({use.workload})")
                reference = f"{host}/{base[0]}@{base[1]}"
                found.setdefault(base, Use(reference=reference, digest=base[1], workload=workload, source="layers"))
    return InUse(found.values())
