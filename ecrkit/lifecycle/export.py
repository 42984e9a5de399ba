"""A run for people and programs: text, JSON, CSV, columns, HTML."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Final

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import jsonable
from ecrkit._internal.tables import html_table, size, text_table
from ecrkit._internal.times import iso
from ecrkit.lifecycle.outcome import Outcome
from ecrkit.lifecycle.run import Run

__all__ = ["as_csv", "as_dict", "as_html", "as_json", "as_text", "columns"]

_HEADER: Final = (
    "digest", "tags", "action", "rule", "reason", "certain", "pushed_at", "size", "storage_class", "explanation",
)  # fmt: skip


def _row(run: Run, outcome: Outcome) -> tuple[Any, ...]:
    image = run.inventory[outcome.digest]
    return (
        image.digest, list(image.tags), outcome.action, outcome.rule_priority, outcome.reason, outcome.certain,
        image.pushed_at, image.size, image.storage_class, outcome.explain(),
    )  # fmt: skip


def columns(run: Run) -> dict[str, list[Any]]:
    """Return one list per column, the images oldest first."""
    found: dict[str, list[Any]] = {name: [] for name in _HEADER}
    for outcome in run.outcomes():
        for name, value in zip(_HEADER, _row(run, outcome), strict=True):
            found[name].append(value)
    return found


def as_dict(run: Run) -> dict[str, Any]:
    """Return the run as a JSON-ready mapping."""
    return {
        "repository": run.inventory.repository,
        "now": iso(run.now),
        "policy": run.policy.to_dict(),
        "certain": run.certain,
        "warnings": list(run.warnings),
        "summary": _summary(run),
        "freed": run.freed.to_dict(),
        "naive_freed": run.naive_freed,
        "outcomes": [jsonable(outcome) for outcome in run.outcomes()],
    }


def _summary(run: Run) -> dict[str, int]:
    return {
        "images": len(run.images), "expired": len(run.expired), "transitioned": len(run.transitioned),
        "cascaded": len(run.cascaded), "blocked": len(run.blocked), "kept": len(run.kept),
    }  # fmt: skip


def as_json(run: Run, *, indent: int | None = None) -> str:
    """Return the run as JSON text."""
    return json.dumps(as_dict(run), indent=indent, ensure_ascii=False)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        value = " ".join(value)
    text = iso(value) if hasattr(value, "astimezone") else str(value)  # type: ignore[arg-type]  # a datetime
    # A spreadsheet runs what starts with one of these; an apostrophe makes it text.
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def as_csv(run: Run) -> str:
    """Return the run as CSV, a header and a row per image, oldest first."""
    out = io.StringIO()
    writer = csv.writer(out)  # a lone \r is quoted only with the default line ends
    writer.writerow(_HEADER)
    for outcome in run.outcomes():
        writer.writerow([_cell(value) for value in _row(run, outcome)])
    return out.getvalue()


_SHORT: Final = ("action", "rule", "image", "digest", "size", "why")


def _going(run: Run) -> list[str]:
    return [*run.expired, *run.transitioned, *run.cascaded, *run.blocked]


def _short_row(run: Run, digest: str) -> tuple[object, ...]:
    outcome, image = run.outcome(digest), run.inventory[digest]
    action = "blocked" if outcome.reason == "blocked-by-index" else outcome.action
    doubt = "" if outcome.certain else " (not certain)"
    bytes_ = "unknown" if image.size is None else size(image.size)
    return action, outcome.rule_priority, ",".join(image.tags) or "-", digest[7:19], bytes_, outcome.why + doubt


def _headline(run: Run) -> str:
    counts = _summary(run)
    return (
        f"{run.inventory.repository or 'repository'} at {iso(run.now)}: of {counted(counts['images'], 'image')} "
        f"{counts['expired']} expire, {counts['transitioned']} are archived, "
        f"{counts['cascaded']} follow their subject, {counts['blocked']} are blocked by an index, {counts['kept']} stay"
    )


def as_text(run: Run, *, limit: int | None = None) -> str:
    """Return a summary, the warnings, and a table of what goes or is blocked."""
    going = _going(run)
    shown = going if limit is None else going[:limit]
    lines = [
        _headline(run),
        f"bytes freed: {run.freed} (the sizes of the expired images add up to {size(run.naive_freed)})",
        *(f"warning: {text}" for text in run.warnings),
    ]
    if shown:
        lines += ["", text_table(_SHORT, [_short_row(run, d) for d in shown], right=frozenset({1, 4}))]
    if len(shown) < len(going):
        lines.append(f"and {len(going) - len(shown)} more")
    return "\n".join(lines)


def as_html(run: Run) -> str:
    """Return the summary and at most 20 rows of what goes, escaped."""
    going = _going(run)
    rows: list[tuple[object, ...]] = [_short_row(run, digest) for digest in going[:20]]
    rows += [("",) * len(_SHORT)] * (len(going) - len(rows))
    return html_table(_SHORT, rows, caption=_headline(run))
