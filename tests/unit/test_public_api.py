"""The public surface is what the golden file says: every name of every public module, with its signature.

Renew it with `make golden` and review the difference; it belongs into the changelog when a user can see it.
"""

from __future__ import annotations

import enum
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.public import public_modules

GOLDEN = Path(__file__).parent.parent / "golden" / "public_api.txt"
MODULES = public_modules()


def _in_order(members: str) -> str:
    # A set of texts prints in another order in each process.
    return "frozenset({" + ", ".join(sorted(members.split(", "))) + "})"


def signature(value: object) -> str:
    """Return the signature as text that does not depend on the interpreter or on addresses."""
    try:
        text = str(inspect.signature(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "(...)"
    text = re.sub(r" at 0x[0-9a-f]+", "", text)
    text = re.sub(r"frozenset\(\{([^{}]*)\}\)", lambda found: _in_order(found[1]), text)
    return re.sub(r"<factory>|NOTHING|<class 'attr\S*'>", "...", text)


def members(cls: type) -> list[str]:
    """Return the public methods, properties and fields that the class itself defines."""
    lines = []
    if issubclass(cls, enum.Enum):
        return [f"    {m.name} = {m.value!r}" for m in cls]
    for name, value in sorted(vars(cls).items()):
        if name.startswith("_"):
            continue
        if isinstance(value, classmethod):
            lines.append(f"    classmethod {name}{signature(value.__func__)}")
        elif isinstance(value, staticmethod):
            lines.append(f"    staticmethod {name}{signature(value.__func__)}")
        elif inspect.isfunction(value):
            lines.append(f"    def {name}{signature(value)}")
        elif isinstance(value, property) or type(value).__name__ == "cached_property":
            lines.append(f"    property {name}")
        else:
            lines.append(f"    {name}")
    return lines


def describe(module: ModuleType) -> list[str]:
    """Return the lines of one module: names it only passes on are said with where they come from."""
    lines = [f"[{module.__name__}]"]
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        home = getattr(value, "__module__", module.__name__)
        if (
            home != module.__name__
            and home.startswith("ecrkit.")
            and not any(p.startswith("_") for p in home.split("."))
        ):
            lines.append(f"{name} = {home}.{name}")
        elif inspect.isclass(value):
            bases = ", ".join(b.__name__ for b in value.__bases__ if b is not object)
            lines.append(f"class {name}({bases}){'' if issubclass(value, enum.Enum) else ' ' + signature(value)}")
            lines += members(value)
        elif inspect.isfunction(value):
            lines.append(f"def {name}{signature(value)}")
        else:
            lines.append(f"{name}: {type(value).__name__}")
    return [*lines, ""]


def test_surface_is_the_golden_file(update_golden: bool) -> None:
    text = "\n".join(line for module in MODULES for line in describe(module))
    if update_golden:
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), "run `make golden` and review the difference"


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
class TestEveryPublicModule:
    def test_it_lists_its_names(self, module: ModuleType) -> None:
        names = list(module.__all__)
        assert len(set(names)) == len(names)
        assert [n for n in names if not hasattr(module, n)] == []

    def test_it_says_what_it_is_for(self, module: ModuleType) -> None:
        assert (module.__doc__ or "").strip()

    def test_every_public_class_and_function_is_documented(self, module: ModuleType) -> None:
        bare = []
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if not (inspect.isclass(value) or inspect.isfunction(value)):
                continue
            if not inspect.getdoc(value):
                bare.append(name)
            if inspect.isclass(value) and value.__module__.startswith("ecrkit"):
                bare += [
                    f"{name}.{n}"
                    for n, m in vars(value).items()
                    if not n.startswith("_")
                    and (inspect.isfunction(m) or isinstance(m, classmethod | staticmethod | property))
                    and not inspect.getdoc(getattr(value, n))
                ]
        assert bare == []
