"""The tour that `make demo` runs, and the dry run on your own files: `python -m ecrkit.demo`."""

from __future__ import annotations

__all__: list[str] = []
