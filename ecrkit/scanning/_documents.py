"""Reading policy files: TOML or JSON text to a mapping, and checks that name every fault with its path."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from ecrkit.errors import InvalidPolicy, Problem

__all__ = ["Checker", "document", "load_text", "profile_name_problems"]

# fromisoformat also reads dates by the week, 2026-W52-1, which nobody writes on purpose.
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def load_text(path: str | os.PathLike[str]) -> str:
    """Return the text of a file."""
    return Path(path).read_text(encoding="utf-8-sig")


def document(source: str | Mapping[str, Any], what: str) -> Mapping[str, Any]:
    """Return the mapping of a TOML or JSON text; a text that begins with `{` is JSON.

    Raises:
        InvalidPolicy: the text is neither.
    """
    if isinstance(source, Mapping):
        return source
    text = source.lstrip("\ufeff")
    kind = "JSON" if text.lstrip().startswith("{") else "TOML"
    try:
        parsed: Any = json.loads(text, object_pairs_hook=_unique) if kind == "JSON" else tomllib.loads(text)
    except ValueError as fault:
        raise InvalidPolicy.single(what, "$", f"is no {kind}: {fault}") from None
    if not isinstance(parsed, Mapping):
        raise InvalidPolicy.single(what, "$", "must be an object")
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # A repeated key would silently drop the first of two rules; TOML refuses it too.
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [k for k, _ in pairs]
        raise ValueError(f"the key {next(k for k in names if names.count(k) > 1)!r} stands twice in one object")
    return found


class Checker:
    """Takes members out of a policy and collects problems."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.problems: list[Problem] = []

    def problem(self, path: str, message: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(path, message))

    def only(self, raw: Mapping[str, Any], allowed: Iterable[str], path: str) -> None:
        """Refuse unknown keys; a misspelt key would switch a rule off."""
        names = sorted(allowed)
        for key in raw:
            if key not in names:
                self.problem(f"{path}.{key}", f"is not known here; known are {', '.join(names)}")

    def mapping(self, value: object, path: str) -> Mapping[str, Any]:
        """Return the object, empty when it is absent or wrong."""
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return value
        self.problem(path, f"must be an object, not {type(value).__name__}")
        return {}

    def items(self, value: object, path: str) -> list[Any]:
        """Return the list, empty when it is absent or wrong."""
        if value is None:
            return []
        if isinstance(value, list | tuple):
            return list(value)
        self.problem(path, f"must be a list, not {type(value).__name__}")
        return []

    def text(self, raw: Mapping[str, Any], name: str, path: str, *, required: bool = False) -> str | None:
        """Return the text, or None when it is absent."""
        value = raw.get(name)
        if value is None and not required:
            return None
        if not isinstance(value, str) or not value.strip():
            self.problem(f"{path}.{name}", "must be a text that is not empty" if value is not None else "is missing")
            return None
        return value.strip()

    def texts(self, raw: Mapping[str, Any], name: str, path: str) -> tuple[str, ...]:
        """Return one text or a list of texts as a tuple; empty when it is absent."""
        value = raw.get(name)
        if value is None:
            return ()
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list | tuple) or not values:
            self.problem(f"{path}.{name}", "must be a text or a list of texts that is not empty")
            return ()
        good = [v.strip() for v in values if isinstance(v, str) and v.strip()]
        if len(good) != len(values):
            self.problem(f"{path}.{name}", "must hold texts that are not empty")
        return tuple(good)

    def flag(self, raw: Mapping[str, Any], name: str, path: str, *, default: bool = False) -> bool:
        """Return the boolean."""
        value = raw.get(name, default)
        if not isinstance(value, bool):
            self.problem(f"{path}.{name}", f"must be true or false, not {value!r:.40}")
            return default
        return value

    def whole(self, raw: Mapping[str, Any], name: str, path: str, *, default: int | None = None) -> int | None:
        """Return the whole number of at least 0, or the default when it is absent."""
        value = raw.get(name)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            self.problem(f"{path}.{name}", f"must be a whole number of at least 0, not {value!r:.40}")
            return default
        return value

    def number(self, raw: Mapping[str, Any], name: str, path: str, *, top: float) -> float | None:
        """Return the number between 0 and `top`; it is required."""
        value = raw.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= top:
            shown = "is missing" if value is None else f"must be a number from 0 to {top:g}, not {value!r:.40}"
            self.problem(f"{path}.{name}", shown)
            return None
        return float(value)

    def choice(self, raw: Mapping[str, Any], name: str, path: str, *, of: Iterable[str], default: str) -> str:
        """Return one of the given texts."""
        value = raw.get(name, default)
        choices = tuple(of)
        if value not in choices:
            self.problem(f"{path}.{name}", f"must be one of {', '.join(choices)}, not {value!r:.40}")
            return default
        return str(value)

    def date(self, raw: Mapping[str, Any], name: str, path: str) -> dt.date | None:
        """Return the date of a `YYYY-MM-DD` text or a TOML date; a time of day is refused."""
        value = raw.get(name)
        if value is None:
            return None
        if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
            return value
        if isinstance(value, str) and _DAY.fullmatch(value):
            try:
                return dt.date.fromisoformat(value)
            except ValueError:
                pass
        self.problem(f"{path}.{name}", f"must be a date such as 2026-12-31, without a time of day, not {value!s:.40}")
        return None

    def check(self) -> None:
        """Raise InvalidPolicy when anything was wrong."""
        if self.problems:
            raise InvalidPolicy(self.what, self.problems)


def profile_name_problems(names: Iterable[str]) -> list[Problem]:
    """Return what is wrong with the names of profiles in order: there is none, or two have the same."""
    counts = Counter(names)
    problems = [] if counts else [Problem("$.profiles", "name at least one profile")]
    return problems + [
        Problem("$.profiles", f"two profiles are named {name!r}") for name, count in counts.items() if count > 1
    ]
