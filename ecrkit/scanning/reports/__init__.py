"""Verdicts as documents: text, JSON, Markdown, SARIF, JUnit, GitLab, CSV, and columns for frames.

Every format keeps the suppressed findings, with the reason of each, and escapes what the scanner wrote.
"""

from __future__ import annotations

from ecrkit.scanning.reports.markup import to_junit, to_markdown
from ecrkit.scanning.reports.plain import to_csv, to_json, to_text
from ecrkit.scanning.reports.rows import FindingRow, rows, to_columns, to_pandas
from ecrkit.scanning.reports.scanners import to_gitlab, to_sarif

__all__ = [
    "FindingRow",
    "rows",
    "to_columns",
    "to_csv",
    "to_gitlab",
    "to_json",
    "to_junit",
    "to_markdown",
    "to_pandas",
    "to_sarif",
    "to_text",
]
