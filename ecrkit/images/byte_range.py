"""A number of bytes that may not be known exactly."""

from __future__ import annotations

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import size as for_people

__all__ = ["ByteRange"]


@attrs.frozen
class ByteRange(Record):
    """A number of bytes that lies between `low` and `high`; `high` is None when nothing bounds it from above.

    `reasons` says why it is a range; an exact number has none.

    Example:
        >>> print(ByteRange(1024, 3072, ("one manifest was not read",)))
        1.0 KiB to 3.0 KiB
    """

    low: int
    high: int | None
    reasons: tuple[str, ...] = ()

    @classmethod
    def exactly(cls, count: int) -> ByteRange:
        """Return the range that holds one number."""
        return cls(count, count)

    @property
    def exact(self) -> int | None:
        """The number of bytes if it is known exactly, else None."""
        return self.low if self.low == self.high else None

    def __add__(self, other: ByteRange) -> ByteRange:
        high = None if self.high is None or other.high is None else self.high + other.high
        return ByteRange(self.low + other.low, high, tuple(dict.fromkeys(self.reasons + other.reasons)))

    def __contains__(self, count: object) -> bool:
        return isinstance(count, int) and self.low <= count and (self.high is None or count <= self.high)

    @override
    def __str__(self) -> str:
        if self.exact is not None:
            return for_people(self.low)
        if self.high is None:
            return f"at least {for_people(self.low)}"
        return f"{for_people(self.low)} to {for_people(self.high)}"
