"""The fields that a tag convention may have: what each may hold, how it is read, ordered and put right."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import string
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from ecrkit.images._tag_grammar import Alt, Chars, Many, Node, Seq
from ecrkit.images.semver import VersionTag

__all__ = ["FIELDS", "Field", "branch_slug"]

_DIGITS: Final = frozenset(string.digits)
_NONZERO: Final = frozenset("123456789")
_HEX: Final = frozenset("0123456789abcdef")
_LOWER: Final = frozenset(string.ascii_lowercase + string.digits)
_WORD: Final = frozenset(string.ascii_letters + string.digits)
_IDENT: Final = frozenset(string.ascii_letters + string.digits + "-")
_NUMBER: Final = Alt((Chars(frozenset("0")), Seq((Chars(_NONZERO), Chars(_DIGITS, 0, 17)))))


def _one(of: str) -> Chars:
    return Chars(frozenset(of))


_PRERELEASE: Final = Seq((_one("-"), Chars(_IDENT, 1, None), Many(Seq((_one("."), Chars(_IDENT, 1, None))))))
_VERSION: Final = Seq((_NUMBER, _one("."), _NUMBER, _one("."), _NUMBER, Alt((Seq(()), _PRERELEASE))))
_BRANCH: Final = Seq((Chars(_LOWER, 1, None), Many(Seq((_one("._-"), Chars(_LOWER, 1, None))))))
_TEXT: Final = Chars(_WORD, 1, None)
_DATE: Final = Seq(
    (
        Alt((Seq((_one("12"), Chars(_DIGITS, 3, 3))),)),
        Alt((Seq((_one("0"), Chars(_NONZERO))), Seq((_one("1"), _one("012"))))),
        Alt((Seq((_one("0"), Chars(_NONZERO))), Seq((_one("12"), Chars(_DIGITS))), Seq((_one("3"), _one("01"))))),
    )
)
_SIXTY: Final = Seq((_one("012345"), Chars(_DIGITS)))
_TIME: Final = Seq((Alt((Seq((_one("01"), Chars(_DIGITS))), Seq((_one("2"), _one("0123"))))), _SIXTY, _SIXTY))
_TIMESTAMP: Final = Seq(
    (
        _DATE,
        Alt((Seq(()), _TIME, Seq((_one("-"), _TIME)), Seq((_one("T"), _TIME, Alt((Seq(()), _one("Z"))))))),
    )
)


def _any(text: str) -> bool:  # noqa: ARG001 the grammar has said enough
    return True


def _as_is(text: str) -> str:
    return text


@attrs.frozen(kw_only=True)
class Field:
    """One kind of field.

    `accepts` looks at what the grammar cannot tell; `key` is what values are ordered by, None when they have no order;
    `mend` proposes a value for a text that is none, or gives it back; `groups` says whether values that differ are
    different lines, such as branches; `loose` is what a text looks like that `mend` can put right.
    """

    what: str
    node: Node
    example: str
    loose: str
    accepts: Callable[[str], bool] = _any
    key: Callable[[str], object] | None = None
    mend: Callable[[str], str] = _as_is
    groups: bool = False
    open_ended: bool = False


def branch_slug(branch: str, *, limit: int = 60, unique: bool = False) -> str:
    """Return the name of a branch as it can stand in a tag: lower-case, with `-` for whatever a tag cannot hold.

    A name that is longer than `limit` is cut, and ends in a mark of the whole name, so that two long names stay
    two. Names that differ in such characters only (`a/b` and `a-b`) become one; `unique` marks every changed name.

    Raises:
        ValueError: `limit` is less than 16.

    Example:
        >>> branch_slug("refs/heads/Feature/ABC-1_new login")
        'feature-abc-1_new-login'
        >>> branch_slug("feature/" + "x" * 100, limit=20)
        'feature-xxxxx-e15af0'
    """
    if limit < 16:
        raise ValueError("limit must be at least 16, to leave room for the mark of a cut name")
    name = branch.removeprefix("refs/heads/").removeprefix("refs/tags/")
    kept = re.sub(r"[^a-z0-9._-]", "-", name.lower())
    # Runs of separators become one: '-' where it is among them, else the first.
    slug = re.sub(r"[._-]{2,}", lambda run: "-" if "-" in run[0] else run[0][0], kept).strip("._-")
    if len(slug) > limit or (unique and slug != name) or not slug:
        mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]
        slug = f"{slug[: limit - 7].strip('._-')}-{mark}".lstrip("-")
    return slug


def _version(text: str) -> bool:
    found = VersionTag.parse(text)
    return found is not None and found.strict


def _mend_version(text: str) -> str:
    text = re.sub(r"\+.*", "", text.strip(), flags=re.DOTALL)
    found = re.fullmatch(
        r"[vV]?([0-9]{1,18})(?:[._]([0-9]{1,18}))?(?:[._]([0-9]{1,18}))?(?:[-_.]([0-9A-Za-z.-]+))?", text
    )
    if found is None:
        return text
    numbers = ".".join(str(int(n or 0)) for n in found.groups()[:3])
    return f"{numbers}-{found[4].strip('.-')}" if found[4] and found[4].strip(".-") else numbers


def _moment(text: str) -> dt.datetime | None:
    digits = re.sub(r"[-TZ]", "", text).ljust(14, "0")
    try:
        return dt.datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=dt.UTC)
    except ValueError:
        return None


def _mend_moment(text: str) -> str:
    digits = re.sub(r"[^0-9]", "", text)
    return f"{digits[:8]}-{digits[8:14]}" if len(digits) >= 14 else digits[:8] if len(digits) >= 8 else text


FIELDS: Final[Mapping[str, Field]] = {
    "version": Field(
        what="a semantic version such as 1.4.0 or 1.4.0-rc.1",
        node=_VERSION,
        example="1.4.0",
        loose=r"[vV]?[0-9][0-9A-Za-z._+-]*",
        accepts=_version,
        key=lambda text: found.key if (found := VersionTag.parse(text)) else None,
        mend=_mend_version,
        open_ended=True,
    ),
    "branch": Field(
        what="a branch in lower-case letters and digits, joined by '-', '_' or '.'",
        node=_BRANCH,
        example="login",
        loose=r".+",
        mend=branch_slug,
        groups=True,
        open_ended=True,
    ),
    "sha": Field(
        what="7 to 40 hexadecimal digits of a commit",
        node=Chars(_HEX, 7, 40),
        example="4f2c1a9",
        loose=r"[0-9a-fA-F]{7,40}",
        mend=str.lower,
    ),
    "n": Field(
        what="a number without leading zeros",
        node=_NUMBER,
        example="17",
        loose=r"#?[0-9]{1,18}",
        groups=True,
        mend=lambda text: text.lstrip("#0") or text,
    ),
    "build": Field(
        what="a number without leading zeros, higher for a later build",
        node=_NUMBER,
        example="204",
        loose=r"#?[0-9]{1,18}",
        key=int,
        mend=lambda text: text.lstrip("#0") or text,
    ),
    "timestamp": Field(
        what="a UTC time: YYYYMMDD, with HHMMSS behind '-', 'T' or nothing",
        node=_TIMESTAMP,
        example="20260131-140509",
        loose=r"[0-9TtZz:. _+-]{8,32}",
        accepts=lambda text: _moment(text) is not None,
        key=_moment,
        mend=_mend_moment,
    ),
    "text": Field(
        what="letters and digits",
        node=_TEXT,
        example="blue",
        loose=r"[^-./:+]{1,60}",
        groups=True,
        open_ended=True,
        mend=lambda text: re.sub(r"[^A-Za-z0-9]", "", text),
    ),
}
"""The kinds of fields by name."""
