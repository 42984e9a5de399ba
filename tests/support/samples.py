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


_ABSENT = "the folder of sample payloads is not here; name it in ECRKIT_SAMPLES"


def sample_text(kind: str, name: str) -> str:
    """The text of one payload. Only a missing folder skips the test; a missing file in it fails."""
    folder = samples_folder()
    if folder is None:
        pytest.skip(_ABSENT)
    return (folder / kind / name).read_text()


def sample_texts(kind: str, *, containing: str) -> list[Any]:
    """Parameters (name, text) of the payloads that contain a text; one skipped parameter where there is no folder."""
    folder = samples_folder()
    if folder is None:
        return [pytest.param("none", "", marks=pytest.mark.skip(reason=_ABSENT))]
    found = ((path.name, path.read_bytes().decode()) for path in sorted((folder / kind).glob("*.json")))
    return [pytest.param(name, text, id=name) for name, text in found if containing in text]
