"""Where the archive keeps what: keys without colons, with full digests, partitioned the way Athena and DuckDB read.

```
raw/account=A/region=R/dt=D/<repository, url-encoded>/<64 hex digits>/<scanned at>-<16 hex digits of the body>.json
scans/account=A/region=R/dt=D/part-<id>.json          one line: one reading of an image, also a clean or failed one
findings/account=A/region=R/dt=D/part-<id>.json       one line for each vulnerable package
deployments/account=A/region=R/dt=D/part-<id>.json    one line for each digest that went into an environment
events/account=A/region=R/dt=D/<event>.json           the events as they came
```

`dt` is the UTC day on which the result was read. The repository is a column and no partition: a partition with a value
for each repository would need Athena's injected type, over which no report of a whole fleet can run.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from typing import Final, Self
from urllib.parse import quote, unquote

import attrs

from ecrkit._internal.hive import place_problems
from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import UTC, require_aware
from ecrkit.errors import InvalidInput, InvalidReference
from ecrkit.refs import digest as checked_digest
from ecrkit.refs import repository_name

__all__ = ["Layout", "Place", "RawKey", "stamp"]

_PREFIX: Final = re.compile(r"[A-Za-z0-9!_.*'()-]+(/[A-Za-z0-9!_.*'()-]+)*")
_RAW: Final = re.compile(
    r"(?:(?P<prefix>.+)/)?raw/account=(?P<account>[0-9]{12})/region=(?P<region>[a-z0-9-]+)/dt=(?P<dt>\d{4}-\d\d-\d\d)"
    r"/(?P<repository>[^/]+)/(?P<hex>[0-9a-f]{64})/(?P<stamp>\d{8}T\d{6}(?:\d{6})?Z)-(?P<body>[0-9a-f]{16})\.json"
)


def stamp(moment: dt.datetime) -> str:
    """Return a time in the basic ISO form in UTC, without colons; with microseconds only when there are any.

    Example:
        >>> stamp(dt.datetime(2026, 11, 25, 12, 30, tzinfo=dt.UTC))
        '20261125T123000Z'
    """
    utc = require_aware(moment, "moment")
    return utc.strftime("%Y%m%dT%H%M%S") + (f"{utc.microsecond:06d}" if utc.microsecond else "") + "Z"


@attrs.frozen
class Place(Record):
    """The account and Region whose registry a result comes from; both are partitions of the archive.

    Example:
        >>> str(Place("123456789012", "eu-west-1"))
        'account=123456789012/region=eu-west-1'
    """

    account: str
    region: str

    def __attrs_post_init__(self) -> None:
        problems = place_problems(self.account, self.region)
        if problems:
            raise InvalidInput("no place in the archive", problems)

    def __str__(self) -> str:
        return f"account={self.account}/region={self.region}"


@attrs.frozen(kw_only=True)
class RawKey(Record):
    """What the key of a raw body says."""

    place: Place
    day: dt.date
    repository: str
    digest: str
    scanned_at: dt.datetime
    body: str


def _prefix(value: str) -> str:
    bare = value.strip("/")
    if bare and not _PREFIX.fullmatch(bare):
        message = "may hold letters, digits, and !-_.*'() between single slashes"
        raise InvalidInput.single("no prefix of the archive", "prefix", f"{message}; it is {value!r:.60}")
    return bare


@attrs.frozen
class Layout(Record):
    """Makes the keys below a prefix. Every key is a function of what is stored, so storing twice gives one object.

    Example:
        >>> key = Layout("ecr-scan").raw(
        ...     Place("123456789012", "eu-west-1"), "team/app", "sha256:" + "a" * 64, b"{}",
        ...     scanned_at=dt.datetime(2026, 11, 24, tzinfo=dt.UTC), read_at=dt.datetime(2026, 11, 25, tzinfo=dt.UTC))
        >>> key.split("/")[4], key.split("/")[5]
        ('dt=2026-11-25', 'team%2Fapp')
        >>> key.split("/")[7]
        '20261124T000000Z-44136fa355b3678a.json'
    """

    prefix: str = attrs.field(default="ecr-scan", converter=_prefix)

    def raw(
        self,
        place: Place,
        repository: str,
        digest: str,
        body: bytes,
        *,
        scanned_at: dt.datetime,
        read_at: dt.datetime,
    ) -> str:
        """Return the key of a raw body.

        Raises:
            InvalidReference: the repository or the digest is none.
        """
        name, image = repository_name(repository), checked_digest(digest)
        short = hashlib.sha256(body).hexdigest()[:16]
        folder = f"{self._day('raw', place, read_at)}/{quote(name, safe='')}/{image.removeprefix('sha256:')}"
        return f"{folder}/{stamp(scanned_at)}-{short}.json"

    def part(self, table: str, place: Place, part_id: str, read_at: dt.datetime) -> str:
        """Return the key of the flat rows of one record in a table: `scans`, `findings` or `deployments`."""
        return f"{self._day(table, place, read_at)}/part-{part_id}.json"

    def event(self, place: Place, event_id: str, body: bytes, at: dt.datetime) -> str:
        """Return the key of an event: its id, and the start of its hash since an id alone proves nothing."""
        short = hashlib.sha256(body).hexdigest()[:16]
        return f"{self._day('events', place, at)}/{quote(event_id, safe='')[:100]}-{short}.json"

    def folder(self, table: str, place: Place | None = None, day: dt.date | None = None) -> str:
        """Return the prefix of a table, of one place in it, or of one day in that."""
        parts = [p for p in (self.prefix, table) if p]
        if place is not None:
            parts.append(str(place))
            if day is not None:
                parts.append(f"dt={day.isoformat()}")
        return "/".join(parts) + "/"

    def _day(self, table: str, place: Place, moment: dt.datetime) -> str:
        return self.folder(table, place, require_aware(moment, "moment").date()).rstrip("/")

    @classmethod
    def read(cls, key: str) -> RawKey:
        """Return what the key of a raw body says, whatever its prefix.

        Raises:
            InvalidInput: this is no such key.
        """
        found = _RAW.fullmatch(key)
        if found is None:
            raise InvalidInput.single("no key of a raw scan result", "key", f"{key!r:.200}")
        text = found["stamp"]
        form = "%Y%m%dT%H%M%SZ" if len(text) == 16 else "%Y%m%dT%H%M%S%fZ"
        try:
            return RawKey(
                place=Place(found["account"], found["region"]),
                day=dt.date.fromisoformat(found["dt"]),
                repository=repository_name(unquote(found["repository"])),
                digest=f"sha256:{found['hex']}",
                scanned_at=dt.datetime.strptime(text, form).replace(tzinfo=UTC),
                body=found["body"],
            )
        except InvalidReference as fault:
            raise InvalidInput("no key of a raw scan result", fault.problems) from None
        except ValueError as fault:
            if isinstance(fault, InvalidInput):
                raise
            raise InvalidInput.single("no key of a raw scan result", "key", f"{key!r:.200}: {fault}") from None

    @classmethod
    def at_root(cls) -> Self:
        """Return the layout without a prefix."""
        return cls("")
