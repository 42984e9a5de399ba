"""Output for a person: headed sections, wrapped sentences, aligned tables, on any terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from ecrkit._internal.tables import text_table

__all__ = ["Teller", "plain", "short"]

_WIDTH: Final = 98
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def plain(text: str) -> str:
    r"""Return the text with everything escaped that does not print: a tag may hold what steers a terminal.

    Example:
        >>> plain("v1" + chr(27) + "[2J")
        'v1\\x1b[2J'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def short(text: str) -> str:
    """Return the text with its digests cut to twelve digits, as the tables show them."""
    return _DIGEST.sub(lambda found: found.group()[:19], text)


class Teller:
    """Writes to a stream; what the stream cannot encode is escaped, never an error."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._sections = 0

    def line(self, text: str = "") -> None:
        """Write one line as it is."""
        coding = self._out.encoding or "utf-8"
        self._out.write(text.encode(coding, "backslashreplace").decode(coding) + "\n")

    def section(self, title: str) -> None:
        """Begin the next numbered section."""
        self._sections += 1
        heading = f"{self._sections}. {title}"
        self.line()
        self.line(heading)
        self.line("=" * len(heading))

    def say(self, text: str) -> None:
        """Write a paragraph, wrapped."""
        self.line()
        for one in textwrap.wrap(plain(short(text)), _WIDTH, break_long_words=False, break_on_hyphens=False):
            self.line(one)

    def points(self, texts: Iterable[str], mark: str = "-") -> None:
        """Write a list, wrapped, each entry behind its mark."""
        self.line()
        for text in texts:
            lead = f"  {mark} "
            for one in textwrap.wrap(
                plain(short(text)),
                _WIDTH,
                initial_indent=lead,
                subsequent_indent=" " * len(lead),
                break_long_words=False,
                break_on_hyphens=False,
            ):
                self.line(one)

    def code(self, text: str) -> None:
        """Write lines as they are, indented."""
        self.line()
        for one in text.splitlines():
            self.line(f"    {plain(one)}".rstrip())

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]], *, right: Iterable[int] = ()) -> None:
        """Write an aligned table; the columns numbered in `right` are aligned right."""
        cells = [[plain(short(str(cell))) for cell in row] for row in rows]
        self.line()
        for one in text_table(header, cells, right=frozenset(right)).splitlines():
            self.line(f"  {one}")
