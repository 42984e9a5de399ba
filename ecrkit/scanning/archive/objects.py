"""What the archive needs of a store of objects, and one in memory for tests and trials."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator
from typing import Literal, Protocol

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput, Problem

__all__ = ["BucketLock", "LockMode", "MemoryObjects", "ObjectStore", "Retention"]

LockMode = Literal["GOVERNANCE", "COMPLIANCE"]
"""GOVERNANCE can be lifted with a permission; COMPLIANCE by nobody, the root user included."""


@attrs.frozen
class Retention(Record):
    """For how many days, and how strictly, S3 Object Lock shall keep each object (S3 user guide, Object Lock).

    Example:
        >>> print(Retention("COMPLIANCE", days=365))
        COMPLIANCE for 365 days
    """

    mode: LockMode
    days: int

    def __attrs_post_init__(self) -> None:
        problems: list[Problem] = []
        if self.mode not in ("GOVERNANCE", "COMPLIANCE"):
            problems.append(Problem("mode", f"must be GOVERNANCE or COMPLIANCE, not {self.mode!r:.40}"))
        if not 1 <= self.days <= 36500:
            problems.append(Problem("days", f"must be 1 to 36500, not {self.days}"))
        if problems:
            raise InvalidInput("no retention", problems)

    def until(self, now: dt.datetime) -> dt.datetime:
        """Return the end of the retention of what is written now."""
        return now + dt.timedelta(days=self.days)

    @override
    def __str__(self) -> str:
        return f"{self.mode} for {self.days} days"


@attrs.frozen(kw_only=True)
class BucketLock(Record):
    """Whether a bucket has Object Lock, and the retention it gives to objects that ask for none."""

    enabled: bool
    default: str | None = None


class ObjectStore(Protocol):
    """A store that writes an object once. `ecrkit.aws.s3.S3Objects` is one over a bucket."""

    def put_new(
        self, key: str, body: bytes, *, retain_until: dt.datetime | None = None, mode: LockMode | None = None
    ) -> bool:
        """Write the object, with its retention, unless the key exists; return whether it was written."""
        ...

    def sha256(self, key: str) -> str | None:
        """Return the SHA-256 of an object as hexadecimal digits, or None when there is no such object."""
        ...

    def get(self, key: str) -> bytes | None:
        """Return the body of an object, or None when there is no such object."""
        ...

    def keys(self, prefix: str) -> Iterable[str]:
        """Return every key that begins with the prefix."""
        ...

    def lock(self) -> BucketLock:
        """Return whether the bucket has Object Lock."""
        ...


class MemoryObjects:
    """A store in memory. `locked` says what a bucket with Object Lock would keep, and until when.

    Example:
        >>> objects = MemoryObjects()
        >>> objects.put_new("a", b"1"), objects.put_new("a", b"2"), objects.get("a")
        (True, False, b'1')
    """

    def __init__(self, *, object_lock: bool = False) -> None:
        self._object_lock = object_lock
        self.bodies: dict[str, bytes] = {}
        self.locked: dict[str, tuple[LockMode, dt.datetime]] = {}

    def put_new(
        self, key: str, body: bytes, *, retain_until: dt.datetime | None = None, mode: LockMode | None = None
    ) -> bool:
        """Write the object unless the key exists; return whether it was written."""
        if key in self.bodies:
            return False
        self.bodies[key] = bytes(body)
        if retain_until is not None and mode is not None:
            self.locked[key] = (mode, retain_until)
        return True

    def sha256(self, key: str) -> str | None:
        """Return the SHA-256 of an object, or None."""
        body = self.bodies.get(key)
        return None if body is None else hashlib.sha256(body).hexdigest()

    def get(self, key: str) -> bytes | None:
        """Return the body of an object, or None."""
        return self.bodies.get(key)

    def keys(self, prefix: str) -> Iterator[str]:
        """Return every key that begins with the prefix, sorted."""
        return iter(sorted(k for k in self.bodies if k.startswith(prefix)))

    def lock(self) -> BucketLock:
        """Return whether this store was made with Object Lock."""
        return BucketLock(enabled=self._object_lock)
