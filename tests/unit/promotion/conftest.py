from __future__ import annotations

import pytest

from ecrkit.local.operations import layers
from tests.support import promotion


@pytest.fixture(scope="module")
def made():
    with promotion.registry() as registry:
        yield registry


@pytest.fixture
def registry(made):
    """An embedded registry with two empty repositories; making a client takes longer than most tests."""
    made.engine.reset()
    made.engine.before_call.clear()
    for name in (promotion.SOURCE, promotion.TARGET):
        made.gateway.create_repository(name)
    return made


@pytest.fixture
def small_parts(monkeypatch):
    """Layers of some kilobytes in several parts, so that copies in parts take no time."""
    monkeypatch.setattr(layers, "_PART_SIZE", 3000)
    monkeypatch.setattr(layers, "_SMALLEST_PART", 3000)
