"""Which of these references exist, are scanned, are replicated: one answer each, and unknown is an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal, TypeAlias

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table, text_table
from ecrkit.errors import EcrkitError, GateRefused, InvalidReference
from ecrkit.refs import ImageRef

__all__ = ["Ask", "CheckedReference", "ReferenceCheck", "check_references"]

Ask: TypeAlias = "Callable[[ImageRef], bool | None]"
"""Answers a question on an image by digest; None is: not known. A fault of ecrkit counts as not known."""
Answer = Literal["yes", "no", "unknown", "not asked"]

_ANSWERS: Final[dict[bool | None, Answer]] = {True: "yes", False: "no", None: "unknown"}


@attrs.frozen(kw_only=True)
class CheckedReference(Record):
    """One reference and its answers; `digest` is what it names now, `notes` why an answer is not known.

    `elsewhere` references are in no private registry of ECR; nothing was asked of them, and all answers are unknown.
    """

    reference: str
    digest: str | None = None
    exists: Answer = "unknown"
    scanned: Answer = "not asked"
    replicated: Answer = "not asked"
    notes: tuple[str, ...] = ()
    elsewhere: bool = False

    @property
    def ok(self) -> bool:
        """Whether every question that was asked has a yes."""
        return self.exists == "yes" and {self.scanned, self.replicated} <= {"yes", "not asked"}


@attrs.frozen(kw_only=True)
class ReferenceCheck(Record):
    """The answers on several references. `ok` is a gate's answer: unknown counts as no, and so does having none."""

    references: tuple[CheckedReference, ...]

    @property
    def ok(self) -> bool:
        """Whether there are references in ECR and each has only yeses; those elsewhere do not pass."""
        return bool(self.references) and all(r.ok for r in self.references)

    @property
    def exit_code(self) -> int:
        """0 when all is well, 1 when an answer is no, 3 when none is no and one is unknown or nothing was asked."""
        answers = {a for r in self.references for a in (r.exists, r.scanned, r.replicated)}
        return 0 if self.ok else 1 if "no" in answers else 3

    def require(self) -> ReferenceCheck:
        """Return the check itself.

        Raises:
            GateRefused: an answer is no or unknown.
        """
        if not self.ok:
            bad = [r.reference for r in self.references if not r.ok]
            raise GateRefused(f"not every reference is well: {', '.join(bad) or 'there is none'}", verdict=self)
        return self

    def to_columns(self) -> dict[str, list[object]]:
        """Return the answers as columns."""
        return {
            "reference": [r.reference for r in self.references],
            "digest": [r.digest for r in self.references],
            "exists": [r.exists for r in self.references],
            "scanned": [r.scanned for r in self.references],
            "replicated": [r.replicated for r in self.references],
            "notes": ["; ".join(r.notes) for r in self.references],
        }

    def __str__(self) -> str:
        """Return the answers as a table."""
        columns = self.to_columns()
        return text_table(list(columns), list(zip(*columns.values(), strict=True)))

    def _repr_html_(self) -> str:
        columns = self.to_columns()
        return html_table(list(columns), list(zip(*columns.values(), strict=True)), caption="References")


def check_references(
    references: Iterable[str],
    digest_of: Callable[[ImageRef], str | None],
    *,
    scanned: Ask | None = None,
    replicated: Ask | None = None,
) -> ReferenceCheck:
    """Return whether each reference exists, and, where asked, is scanned and replicated. Each is asked once.

    Args:
        references: as they stand in files; `ecrkit.deployments.files.places_in` finds them there.
        digest_of: resolves a reference by tag or digest to its digest, None when there is no such image.
        scanned: asked with the reference by digest, such as `lambda ref: registry.scanning.judge(...).ok`.
        replicated: likewise.

    Example:
        >>> host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
        >>> known = {"v1": "sha256:" + "0" * 64}
        >>> check = check_references([f"{host}/app:v1", f"{host}/app:v2", "node:20"], lambda ref: known.get(ref.tag),
        ...                          scanned=lambda ref: None)
        >>> [(r.exists, r.scanned) for r in check.references], check.ok
        ([('yes', 'unknown'), ('no', 'unknown'), ('unknown', 'unknown')], False)
    """
    return ReferenceCheck(
        references=tuple(_checked(text, digest_of, scanned, replicated) for text in dict.fromkeys(references))
    )


def _checked(
    text: str, digest_of: Callable[[ImageRef], str | None], scanned: Ask | None, replicated: Ask | None
) -> CheckedReference:
    blank = CheckedReference(
        reference=text,
        scanned="not asked" if scanned is None else "unknown",
        replicated="not asked" if replicated is None else "unknown",
    )
    try:
        ref = ImageRef.parse(text)
    except InvalidReference as fault:
        notes = tuple(str(p) for p in fault.problems)
        return attrs.evolve(blank, elsewhere=True, notes=notes)
    if ref.registry is None or ref.registry.public:
        notes = ("names no private registry of ECR",)
        return attrs.evolve(blank, elsewhere=True, notes=notes)
    try:
        digest = digest_of(ref)
    except EcrkitError as fault:
        return attrs.evolve(blank, notes=(f"{fault!s:.200}",))
    if digest is None:
        return attrs.evolve(blank, exists="no")
    pinned, said = ref.pinned(digest), list[str]()
    first, second = (_asked(ask, pinned, said) for ask in (scanned, replicated))
    return attrs.evolve(
        blank, digest=digest, exists="yes", scanned=first, replicated=second, notes=tuple(said)
    )  # fmt: skip


def _asked(ask: Ask | None, ref: ImageRef, said: list[str]) -> Answer:
    if ask is None:
        return "not asked"
    try:
        return _ANSWERS[ask(ref)]
    except EcrkitError as fault:
        said.append(f"{fault!s:.200}")
        return "unknown"
