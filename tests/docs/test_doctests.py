"""The examples in the package's docstrings run."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest

from tests.support.public import all_modules

MODULES = all_modules()


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_examples(module: ModuleType) -> None:
    failed, _ = doctest.testmod(module, raise_on_error=False, report=True, optionflags=doctest.ELLIPSIS)
    assert failed == 0, "the differences stand in the captured output"


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    assert sum(bool(t.examples) for m in MODULES for t in finder.find(m)) > 10
