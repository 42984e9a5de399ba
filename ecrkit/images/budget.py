"""A size budget for images, judged like a gate: for a CI job that should stop an image before nodes pull it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table
from ecrkit._internal.tables import size as for_people
from ecrkit.errors import InvalidInput, Problem
from ecrkit.images.byte_range import ByteRange
from ecrkit.images.comparison import diff
from ecrkit.images.config import ImageConfig
from ecrkit.images.manifest import Manifest
from ecrkit.images.runnable import Runnable, runnable_images

__all__ = ["Budget", "BudgetReason", "BudgetVerdict"]

Outcome = Literal["pass", "fail", "undetermined"]
_EXIT_CODES: Final[Mapping[Outcome, int]] = {"pass": 0, "fail": 1, "undetermined": 3}
_LIMITS: Final = ("max_bytes", "max_layers", "max_pull_delta")


@attrs.frozen(kw_only=True)
class BudgetReason(Record):
    """Why a verdict is no pass: the limit, on which platform, and what was found. `most` is None when unbounded."""

    limit: str
    outcome: Outcome
    allowed: int
    text: str
    platform: str | None = None
    least: int | None = None
    most: int | None = None

    @override
    def __str__(self) -> str:
        return f"{self.limit}{f' [{self.platform}]' if self.platform else ''}: {self.text}"


@attrs.frozen(kw_only=True)
class BudgetVerdict(Record):
    """What a budget says of an image, over all of its platforms; the worst decides.

    `exit_code` is 0 for a pass, 1 for a fail, 3 for undetermined.
    """

    outcome: Outcome
    digest: str
    reasons: tuple[BudgetReason, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the image may go on; undetermined is a no."""
        return self.outcome == "pass"

    @property
    def exit_code(self) -> int:
        """The exit code for a CI job."""
        return _EXIT_CODES[self.outcome]

    def explain(self) -> str:
        """Return the verdict and every reason in words."""
        return "\n".join([str(self), *(f"- {reason}" for reason in self.reasons)])

    def _repr_html_(self) -> str:
        rows = [(r.limit, r.platform or "", r.outcome, r.text) for r in self.reasons]
        return html_table(("limit", "platform", "outcome", "why"), rows, caption=str(self))

    @override
    def __str__(self) -> str:
        return f"{self.outcome.upper()}: {self.digest}"


@attrs.frozen(kw_only=True)
class Budget(Record):
    """Limits for each platform of an image; None is no limit, and a budget without any limit is refused.

    Args:
        max_bytes: config and layers, compressed, each once: what a node with nothing pulls.
        max_layers: the entries of the manifest, as runtimes count them.
        max_pull_delta: what a node that has the image before pulls, compressed.

    Raises:
        InvalidInput: no limit at all, or one that is no whole number of at least 0.

    Example:
        >>> from ecrkit.images import Manifest
        >>> from ecrkit.local.images import filler, image
        >>> manifest = Manifest.parse(image([filler(60_000)]).manifest)
        >>> print(Budget(max_bytes=50_000, max_layers=40).judge(manifest).reasons[0])
        max_bytes: 58.9 KiB, 10.1 KiB more than the limit of 48.8 KiB
    """

    max_bytes: int | None = None
    max_layers: int | None = None
    max_pull_delta: int | None = None

    def __attrs_post_init__(self) -> None:
        limits = {name: getattr(self, name) for name in _LIMITS}
        problems = [
            Problem(f"$.{name}", f"must be a whole number of at least 0, not {value!r:.40}")
            for name, value in limits.items()
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0)
        ]
        if set(limits.values()) == {None}:
            problems.append(Problem("$", f"sets no limit; give at least one of {', '.join(_LIMITS)}"))
        if problems:
            raise InvalidInput("not a budget", problems)

    def judge(
        self,
        after: Manifest,
        *,
        before: Manifest | None = None,
        manifests: Mapping[str, Manifest] | None = None,
        configs: Mapping[str, ImageConfig] | None = None,
    ) -> BudgetVerdict:
        """Return whether the image keeps to the budget on every platform.

        Whatever is not known and could exceed a limit makes the verdict undetermined, which is no pass: a child whose
        manifest is not there, a size that schema 1 does not tell, `max_pull_delta` without `before`.

        Args:
            after: the image or index to judge.
            before: what nodes have now; needed for `max_pull_delta` only.
            manifests: the children of indexes, by digest.
            configs: configs by their own digest; they tell the platform of images that stand in no index.
        """
        images = runnable_images(after, manifests=manifests, configs=configs)
        reasons: list[BudgetReason] = []
        if not images:
            text = "the index lists no image that a node could run"
            reasons += [self._reason(name, "undetermined", text) for name in _LIMITS if getattr(self, name) is not None]
        for image in images:
            reasons += self._own(image)
        if self.max_pull_delta is not None and before is None:
            text = "there is no image before to compare with"
            reasons.append(self._reason("max_pull_delta", "undetermined", text))
        if self.max_pull_delta is not None and before is not None:
            for part in diff(before, after, manifests=manifests, configs=configs).platforms:
                if part.pull is not None:
                    reasons += self._check("max_pull_delta", part.pull, part.platform)
        return BudgetVerdict(outcome=_worst(reasons), digest=after.digest, reasons=tuple(reasons))

    def _own(self, image: Runnable) -> list[BudgetReason]:
        where = None if image.platform is None else str(image.platform)
        if image.manifest is None:
            size = layers = ByteRange(0, None, (f"the manifest of {image.digest} was not read",))
        else:
            sizes = [blob.size for blob in image.manifest.blobs]
            low = sum(size for size in sizes if size is not None)
            unsized = ByteRange(low, None, ("a schema 1 manifest tells no layer sizes",))
            size = unsized if None in sizes else ByteRange.exactly(low)
            layers = ByteRange.exactly(len(image.manifest.layers))
        return [*self._check("max_bytes", size, where), *self._check("max_layers", layers, where)]

    def _check(self, name: str, found: ByteRange, platform: str | None) -> list[BudgetReason]:
        allowed: int | None = getattr(self, name)
        if allowed is None or (found.high is not None and found.high <= allowed):
            return []
        words = str if name == "max_layers" else for_people
        if found.low > allowed:
            least = "" if found.exact is not None else "at least "
            text = f"{least}{words(found.low)}, {words(found.low - allowed)} more than the limit of {words(allowed)}"
            return [self._reason(name, "fail", text, platform, found)]
        span = f"at least {words(found.low)}" if found.high is None else f"{words(found.low)} to {words(found.high)}"
        text = f"{span}, the limit is {words(allowed)}: {'; '.join(found.reasons)}"
        return [self._reason(name, "undetermined", text, platform, found)]

    def _reason(
        self, name: str, outcome: Outcome, text: str, platform: str | None = None, found: ByteRange | None = None
    ) -> BudgetReason:
        return BudgetReason(
            limit=name,
            outcome=outcome,
            allowed=getattr(self, name),
            text=text,
            platform=platform,
            least=None if found is None else found.low,
            most=None if found is None else found.high,
        )


def _worst(reasons: list[BudgetReason]) -> Outcome:
    outcomes = {reason.outcome for reason in reasons}
    return "fail" if "fail" in outcomes else "undetermined" if outcomes else "pass"
