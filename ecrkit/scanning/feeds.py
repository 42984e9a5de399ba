"""Offline feeds: EPSS scores (CSV of FIRST.org) and the catalogue of known exploited vulnerabilities (JSON of CISA)."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput, Problem
from ecrkit.scanning._times import scan_time

__all__ = ["EpssFeed", "KnownExploited"]

_MOST = 100  # problems that are named; a wrong file has as many as it has lines


def _content(path: str | os.PathLike[str]) -> str:
    data = Path(path).read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    return data.decode("utf-8-sig")


@attrs.frozen(kw_only=True)
class EpssFeed(Record):
    r"""EPSS scores by CVE id, with the date of the scores.

    The file is the daily CSV of FIRST.org, plain or gzipped: a comment line with `score_date`, then `cve,epss,...`.

    Example:
        >>> feed = EpssFeed.parse("#model_version:v2025.03.14,score_date:2026-11-24T00:00:00Z\ncve,epss,percentile\n"
        ...                       "CVE-2024-9681,0.00120,0.31")
        >>> feed.scores["CVE-2024-9681"], feed.date.year
        (0.0012, 2026)
    """

    scores: Mapping[str, float] = attrs.field(hash=False)
    date: dt.datetime | None = None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the feed of a file, plain or gzipped.

        Raises:
            InvalidInput: this is no EPSS file; every faulty line is named, up to a hundred.
            OSError: the file cannot be read.
        """
        return cls.parse(_content(path))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the feed of a CSV text.

        Raises:
            InvalidInput: this is no EPSS file; every faulty line is named, up to a hundred.
        """
        date: dt.datetime | None = None
        problems: list[Problem] = []
        comments = 0
        for line in text.splitlines():
            if not line.startswith("#"):
                break
            comments += 1
            for part in line.lstrip("# ").split(","):
                name, _, value = part.partition(":")
                if name.strip() == "score_date":
                    try:
                        date = scan_time(_padded(value.strip()))
                    except ValueError as fault:
                        problems.append(Problem(f"line {comments}", str(fault)))
        rows = csv.DictReader(io.StringIO("\n".join(text.splitlines()[comments:])))
        if not {"cve", "epss"} <= set(rows.fieldnames or ()):
            raise InvalidInput.single("not an EPSS file", f"line {comments + 1}", "has no columns named cve and epss")
        scores: dict[str, float] = {}
        for row in rows:
            name, value = row.get("cve") or "", row.get("epss") or ""
            try:
                score = float(value)
            except ValueError:
                score = -1.0
            if not name or not 0.0 <= score <= 1.0:
                problems.append(
                    Problem(f"line {rows.line_num + comments}", f"no CVE with a score of 0 to 1: {name!r}, {value!r}")
                )
                if len(problems) >= _MOST:
                    break
            scores[name] = score
        if problems:
            raise InvalidInput("not an EPSS file", problems)
        return cls(scores=scores, date=date)


def _padded(value: str) -> str:
    # Older files write +0000, which fromisoformat of Python 3.11 takes, and newer ones a bare date.
    return f"{value}T00:00:00Z" if len(value) == 10 else value


@attrs.frozen(kw_only=True)
class KnownExploited(Record):
    """The ids of CISA's catalogue of known exploited vulnerabilities, with its date and the due dates.

    Example:
        >>> feed = KnownExploited.parse('{"dateReleased": "2026-11-24T17:00:00Z", "vulnerabilities": ['
        ...                             '{"cveID": "CVE-2021-44228", "dueDate": "2021-12-24"}]}')
        >>> "CVE-2021-44228" in feed.ids, feed.due["CVE-2021-44228"].isoformat()
        (True, '2021-12-24')
    """

    ids: frozenset[str]
    due: Mapping[str, dt.date] = attrs.field(factory=dict, hash=False)
    date: dt.datetime | None = None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the catalogue of a JSON file, plain or gzipped.

        Raises:
            InvalidInput: this is no such catalogue; every faulty entry is named, up to a hundred.
            OSError: the file cannot be read.
        """
        return cls.parse(_content(path))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the catalogue of a JSON text.

        Raises:
            InvalidInput: this is no such catalogue; every faulty entry is named, up to a hundred.
        """
        what = "not a catalogue of known exploited vulnerabilities"
        try:
            document: Any = json.loads(text)
        except ValueError as fault:
            raise InvalidInput.single(what, "$", f"is no JSON: {fault}") from None
        entries = document.get("vulnerabilities") if isinstance(document, Mapping) else None
        if not isinstance(entries, list):
            raise InvalidInput.single(what, "$.vulnerabilities", "must be a list")
        problems: list[Problem] = []
        ids: set[str] = set()
        due: dict[str, dt.date] = {}
        for number, entry in enumerate(entries):
            path = f"$.vulnerabilities[{number}]"
            name = entry.get("cveID") if isinstance(entry, Mapping) else None
            if not isinstance(name, str) or not name:
                problems.append(Problem(f"{path}.cveID", "must be a CVE id"))
            else:
                ids.add(name)
                try:
                    if entry.get("dueDate"):
                        due[name] = dt.date.fromisoformat(entry["dueDate"])
                except (TypeError, ValueError):
                    problems.append(Problem(f"{path}.dueDate", f"must be a date, not {entry['dueDate']!r:.40}"))
            if len(problems) >= _MOST:
                break
        released = document.get("dateReleased")
        date: dt.datetime | None = None
        if released is not None:
            try:
                date = scan_time(released)
            except ValueError as fault:
                problems.append(Problem("$.dateReleased", str(fault)))
        if problems:
            raise InvalidInput(what, problems)
        return cls(ids=frozenset(ids), due=due, date=date)
