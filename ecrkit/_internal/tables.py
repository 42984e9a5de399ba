"""Tables for people: plain text and the HTML that a notebook shows."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ecrkit.errors import MissingExtra

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frame", "html_table", "size", "text_table"]

_ROWS = 20


def html_table(
    header: Sequence[str], rows: Sequence[Sequence[object]], *, caption: str = "", limit: int = _ROWS
) -> str:
    """Return an escaped HTML table of at most `limit` rows, with a closing row that says how many more there are."""
    parts = ["<table>"]
    if caption:
        parts.append(f"<caption>{html.escape(caption)}</caption>")
    parts.append("<thead><tr>" + "".join(f"<th>{html.escape(str(h))}</th>" for h in header) + "</tr></thead><tbody>")
    parts.extend(
        "<tr>" + "".join(f"<td>{html.escape('' if c is None else str(c))}</td>" for c in row) + "</tr>"
        for row in rows[:limit]
    )
    if len(rows) > limit:
        parts.append(f'<tr><td colspan="{len(header)}">and {len(rows) - limit} more</td></tr>')
    parts.append("</tbody></table>")
    return "".join(parts)


def text_table(header: Sequence[str], rows: Sequence[Sequence[object]], *, right: frozenset[int] = frozenset()) -> str:
    """Return aligned columns, two spaces apart; the columns numbered in `right` are aligned right."""
    cells = [[str(h) for h in header], *[["" if c is None else str(c) for c in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        return "  ".join(
            c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()

    return "\n".join([line(cells[0]), line(["-" * w for w in widths]), *[line(row) for row in cells[1:]]])


def size(count: int) -> str:
    """Return a byte count for people, in binary units with one decimal."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024 or unit == "TiB":
            return f"{int(value)} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def frame(columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Return a pandas frame of the columns.

    Raises:
        MissingExtra: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtra("pandas", extra="notebook") from None
    return pd.DataFrame(dict(columns))
