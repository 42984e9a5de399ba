from __future__ import annotations

import pytest

from ecrkit.local.operations import layers
from tests.support import promotion


@pytest.fixture
def registry():
    with promotion.registry() as made:
        yield made


@pytest.fixture
def small_parts(monkeypatch):
    """Layers of some kilobytes in several parts, so that copies in parts take no time."""
    monkeypatch.setattr(layers, "_PART_SIZE", 3000)
    monkeypatch.setattr(layers, "_SMALLEST_PART", 3000)
