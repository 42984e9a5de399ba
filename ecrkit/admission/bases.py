"""The condition that an image rests on the base images of today, from a report made elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import attrs

from ecrkit.admission.conditions import ConditionAnswer
from ecrkit.errors import InvalidPolicy
from ecrkit.images.bases import BaseReport, BaseStatus, BaseUse, Place
from ecrkit.images.manifest import Manifest
from ecrkit.scanning._documents import Checker, load_text
from ecrkit.scanning.rules import Outcome, worst

__all__ = ["BaseFresh", "load_base_report"]

_WHAT: Final = "no report of base images"
_STATUSES: Final = ("current", "moved", "gone", "untagged", "unknown")


@attrs.frozen
class BaseFresh:
    """Whether the base image of an image is the one that its tag names now, as a `images.BaseReport` says.

    An image that the report does not know, or whose base is `unknown` to it, is undetermined: also an image that rests
    on nothing, so choose by `repositories` which images a profile with this condition is for. Every platform of an
    index counts. A report tells of the time when it was made; make it again as often as bases move. Calls:
    BatchGetImage once with `manifest`, which tells the platforms of an index; without it the report has to know them.

    Example:
        >>> from ecrkit.images import BaseReport
        >>> BaseFresh(BaseReport())("team/app", "sha256:" + "0" * 64).outcome
        'undetermined'
    """

    report: BaseReport
    manifest: Callable[[str, str], Manifest | None] | None = None
    name: str = attrs.field(default="base-fresh", init=False)

    def __call__(self, repository: str, digest: str) -> ConditionAnswer:
        """Return pass when every base is current, fail when one has moved, is gone or lost its tag."""
        digests = [digest]
        if self.manifest is not None:
            read = self.manifest(repository, digest)
            if read is None:
                return ConditionAnswer("undetermined", "its manifest was not read")
            if read.is_index:
                digests = [p.digest for p in read.platforms]
        answers = [self._one(repository, d) for d in dict.fromkeys(digests)]
        if not answers:
            return ConditionAnswer("undetermined", "it is an index without platforms")
        outcome = worst(a.outcome for a in answers)
        return next(a for a in answers if a.outcome == outcome)

    def _one(self, repository: str, digest: str) -> ConditionAnswer:
        uses = self.report.of(repository, digest)
        unread = Place(repository, digest) in self.report.unread
        if not uses or unread:
            return ConditionAnswer("undetermined", "the report of base images does not know it")
        told = [ConditionAnswer(_outcome(u), f"its base is {u.status}: {u.reason}".removesuffix(": ")) for u in uses]
        outcome = worst(t.outcome for t in told)
        return next(t for t in told if t.outcome == outcome)


def _outcome(use: BaseUse) -> Outcome:
    if use.status == "current":
        return "pass"
    return "fail" if use.outdated else "undetermined"


def load_base_report(path: str | os.PathLike[str]) -> BaseReport:
    """Return what a JSON file says of base images: what `BaseReport.to_json()` wrote, or `uses` with fewer members.

    Each of `uses` needs `image` (`repository`, `digest`) and `status`; `reason` is told when it is there. Nothing else
    of the report comes back, so an index is known by the digests of its platforms only.

    Raises:
        InvalidPolicy: it is no such document; all problems are named with their paths.
        OSError: the file cannot be read.
    """
    try:
        raw = json.loads(load_text(path))
    except (ValueError, RecursionError) as fault:
        raise InvalidPolicy.single(_WHAT, "$", f"is no JSON: {fault}") from None
    check = Checker(_WHAT)
    document: Mapping[str, Any] = check.mapping(raw, "$")
    if "uses" not in document:
        check.problem("$.uses", "is missing")
    listed = {name: check.items(document.get(name), f"$.{name}") for name in ("uses", "unread")}
    uses = [_use(check, entry, f"$.uses[{n}]") for n, entry in enumerate(listed["uses"])]
    unread = [_place(check, entry, f"$.unread[{n}]") for n, entry in enumerate(listed["unread"])]
    check.check()
    return BaseReport(uses=tuple(uses), unread=tuple(unread))


def _place(check: Checker, entry: object, path: str) -> Place:
    raw = check.mapping(entry, path)
    repository = check.text(raw, "repository", path, required=True)
    return Place(repository or "", check.text(raw, "digest", path, required=True) or "")


def _use(check: Checker, entry: object, path: str) -> BaseUse:
    raw = check.mapping(entry, path)
    if raw.get("status") is None:
        check.problem(f"{path}.status", "is missing")
    status = cast("BaseStatus", check.choice(raw, "status", path, of=_STATUSES, default="unknown"))
    reason = raw.get("reason") or ""
    if not isinstance(reason, str):
        check.problem(f"{path}.reason", "must be a text")
    return BaseUse(image=_place(check, raw.get("image"), f"{path}.image"), status=status, reason=str(reason))
