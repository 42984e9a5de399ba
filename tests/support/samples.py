"""Payloads of third parties that tests may read where they lie, and that are never part of the project."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).resolve().parents[2]


def samples_folder() -> Path | None:
    """The folder of sample payloads: named by ECRKIT_SAMPLES, or beside the checkout; None where there is none."""
    folder = Path(os.environ.get("ECRKIT_SAMPLES") or _ROOT.parent / "shared" / "samples")
    return folder if folder.is_dir() else None


def sample_texts(kind: str, *, containing: str) -> list[Any]:
    """Parameters (name, text) of the payloads that contain a text; one skipped parameter where there is no folder."""
    folder = samples_folder()
    if folder is None:
        reason = "the folder of sample payloads is not here; name it in ECRKIT_SAMPLES"
        return [pytest.param("none", "", marks=pytest.mark.skip(reason=reason))]
    found = ((path.name, path.read_bytes().decode()) for path in sorted((folder / kind).glob("*.json")))
    return [pytest.param(name, text, id=name) for name, text in found if containing in text]
