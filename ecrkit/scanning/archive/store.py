"""Writing scan results into the archive and reading them back: once each, whole, and locked where the bucket can."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

import attrs

from ecrkit._internal.jsonio import Record, canonical_json
from ecrkit.errors import Conflict, InvalidInput, Problem
from ecrkit.ports import Clock, FindingSource
from ecrkit.scanning.archive.events import (
    CoverageChanged,
    FindingChanged,
    FrequencyChanged,
    Ignored,
    ScanFinished,
    event_body,
    parse,
)
from ecrkit.scanning.archive.layout import Layout, Place
from ecrkit.scanning.archive.objects import ObjectStore, Retention
from ecrkit.scanning.archive.rows import (
    DeploymentRow,
    FindingRow,
    FindingState,
    ScanRow,
    finding_rows,
    read_lines,
    scan_row,
    suppressed_findings,
    to_lines,
)
from ecrkit.scanning.findings import Finding, ScanReport

__all__ = ["Archive", "ArchivedRows", "Handled", "Stored"]

T = TypeVar("T", ScanRow, FindingRow, DeploymentRow)
_FORMAT: Final = "ecrkit-scan/1"


@attrs.frozen(kw_only=True)
class Stored(Record):
    """What became of one record: its keys, whether this call wrote them, and what keeps them from being changed.

    `new` is False when the archive had the same record already. `locked_until` is None when nothing locks the
    objects; `lock` says what does, or why nothing does.
    """

    scan_id: str
    keys: tuple[str, ...]
    new: bool
    lock: str
    locked_until: dt.datetime | None = None


@attrs.frozen(kw_only=True)
class Handled(Record):
    """What the handler did with an event: `outcome` is stored, duplicate, noted or ignored; `reason` says why."""

    outcome: str
    event_id: str
    reason: str
    stored: Stored | None = None


@attrs.frozen(kw_only=True)
class ArchivedRows(Record):
    """Rows read back from the archive."""

    scans: tuple[ScanRow, ...] = ()
    findings: tuple[FindingRow, ...] = ()
    deployments: tuple[DeploymentRow, ...] = ()
    changes: tuple[FrequencyChanged, ...] = ()


class Archive:
    """An archive of scan results over a store of objects.

    `place` is the account and Region whose registry the stored reports come from. `source` reads scan results; only
    `observe` and `handle` need it. With `retention`, every object is written with Object Lock when the bucket has it;
    `require_lock` refuses to write when it has not. `scan_type` (BASIC or ENHANCED) is the registry's, for the
    decision whether an empty result is a clean one.

    Example:
        >>> from ecrkit.scanning import ScanReport
        >>> from ecrkit.scanning.archive import Archive, MemoryObjects, Place
        >>> report = ScanReport(source="enhanced", repository="team/app", digest="sha256:" + "a" * 64,
        ...                     status="ACTIVE", completed_at=dt.datetime(2026, 11, 24, tzinfo=dt.UTC))
        >>> archive = Archive(MemoryObjects(), place=Place("123456789012", "eu-west-1"))
        >>> archive.store(report).new, archive.store(report).new
        (True, False)
    """

    def __init__(
        self,
        objects: ObjectStore,
        *,
        place: Place,
        layout: Layout | None = None,
        source: FindingSource | None = None,
        clock: Clock | None = None,
        retention: Retention | None = None,
        require_lock: bool = False,
        scan_type: str | None = None,
    ) -> None:
        if retention is not None and clock is None:
            raise InvalidInput.single("no archive", "clock", "a retention is counted from now: pass a clock")
        if require_lock and retention is None:
            raise InvalidInput.single("no archive", "retention", "require_lock needs a retention")
        self.layout = layout if layout is not None else Layout()
        self.place = place
        self._objects = objects
        self._source = source
        self._clock = clock
        self._retention = retention
        self._require_lock = require_lock
        self._scan_type = scan_type
        self._locks: bool | None = None

    def store(
        self,
        report: ScanReport,
        *,
        pages: Iterable[Mapping[str, Any]] | None = None,
        at: dt.datetime | None = None,
        place: Place | None = None,
    ) -> Stored:
        """Write the raw body and the flat rows of a report, and return what became of them.

        `pages` are the answers the report was read from; they become the raw body, without ResponseMetadata. Without
        them it is the report itself, and suppressed findings are known by number only. `at` is the moment of reading;
        it is the scan's completion by default. Pass it for a continuous scan, whose completion time can stay as it is
        while findings come and go: two readings at different moments are two records.

        Failed, expired and unsupported scans are stored too: they are the gaps an auditor asks for.

        Raises:
            InvalidInput: the report is not whole (a page is missing), names no repository or digest, is not of the
                pages, or has no time and `at` is missing; or a lock is required and the bucket has none.
            Conflict: a key of this record is taken by other content. Nothing is overwritten.
        """
        raws = None if pages is None else [_bare(page) for page in pages]
        self._check(report, raws, at)
        moment = at or report.completed_at
        assert moment is not None
        where = place or self.place
        body = canonical_json(
            {
                "format": _FORMAT,
                "account": where.account,
                "region": where.region,
                "repository": report.repository,
                "digest": report.digest,
                "platform": report.platform,
                "read_at": moment,
                **({"report": report.to_dict()} if raws is None else {"pages": raws}),
            }
        ).encode()
        repository, digest = str(report.repository), str(report.digest)
        raw_key = self.layout.raw(
            where, repository, digest, body, scanned_at=report.completed_at or moment, read_at=moment
        )
        sha = hashlib.sha256(body).hexdigest()
        hidden = () if raws is None else suppressed_findings(raws)
        scan = scan_row(
            report, scan_id=sha[:32], read_at=moment, scan_type=self._scan_type, suppressed=len(hidden),
            raw_key=raw_key, raw_sha256=sha,
        )  # fmt: skip
        return self._write(where, (raw_key, body), scan, report, hidden)

    def observe(
        self, repository: str, digest: str, *, at: dt.datetime | None = None, place: Place | None = None
    ) -> Stored:
        """Read every page of an image's scan result now and store it.

        Run it on a schedule for the images that are in use: later findings of Inspector come one by one, and only a
        whole reading shows that one is gone. `at` is the clock's time by default.

        Raises:
            NotFound: there is no scan of the image, or no image; store `ScanReport.not_found(...)` to record that.
            AwsCallFailed: the reading failed.
            InvalidInput: the archive has no source, or the result is not whole.
        """
        if self._source is None:
            raise InvalidInput.single("cannot read scan results", "source", "the archive was made without a source")
        pages = [_bare(page) for page in self._source.scan_pages(repository, digest)]
        report = ScanReport.from_api(pages)
        if report.digest is not None and report.digest != digest:
            raise InvalidInput.single("not the image asked for", "$.imageId.imageDigest", f"is {report.digest}")
        named = attrs.evolve(report, repository=report.repository or repository, digest=digest)
        return self.store(named, pages=pages, at=at or self._now(), place=place)

    def store_deployment(
        self, repository: str, digest: str, *, environment: str, since: dt.datetime, platform: str = ""
    ) -> Stored:
        """Record that a digest went into an environment; it ends the time of the digest before it there.

        Without deployments, remediation is judged on the latest push of each repository.
        """
        row = DeploymentRow(
            repository=repository, environment=environment, image_digest=digest, since=since, platform=platform
        )
        body = to_lines([row])
        part = hashlib.sha256(body).hexdigest()[:32]
        key = self.layout.part("deployments", self.place, part, since)
        return self._put_all(part, [(key, body)])

    def handle(self, event: Mapping[str, Any], context: object = None) -> dict[str, Any]:
        """Handle one EventBridge event, as an AWS Lambda handler; return what was done as JSON-ready mapping.

        A finished scan is read by the event's digest and stored. A single finding of Inspector, and its word that it
        watches an image or not, are stored as rows. The event itself is stored last, so a repeated delivery ends as
        `duplicate` and a delivery that failed halfway is done again. Events of other resources are `ignored`.

        Raises:
            InvalidInput: the event lacks what it must say, such as the digest; or the archive has no source.
            AwsCallFailed: reading or writing failed; let Lambda deliver again.
        """
        del context
        found = parse(event)
        if isinstance(found, Ignored):
            return Handled(outcome="ignored", event_id=found.event_id, reason=found.reason).to_dict()
        body = event_body(event)
        key = self.layout.event(found.place, found.event_id, body, found.at)
        if self._same(key, body):
            return Handled(
                outcome="duplicate", event_id=found.event_id, reason="this event was handled before"
            ).to_dict()
        stored: Stored | None = None
        outcome = "stored"
        if isinstance(found, ScanFinished):
            stored = self.observe(found.repository, found.digest, at=found.at, place=found.place)
            reason = f"read the result of {found.repository}@{found.digest}"
        elif isinstance(found, FindingChanged):
            stored = self._store_finding(found, body)
            reason = f"{found.state} {found.finding_arn}"
        elif isinstance(found, CoverageChanged):
            stored = self._store_coverage(found, body)
            reason = f"Inspector's coverage is {found.state}: {found.reason or 'no reason given'}"
        else:
            outcome, reason = "noted", f"scan frequency changed for {len(found.repositories)} repositories"
        self._put_all(found.event_id, [(key, body)])
        return Handled(outcome=outcome, event_id=found.event_id, reason=reason, stored=stored).to_dict()

    def rows(self, since: dt.date, until: dt.date, *, place: Place | None = None) -> ArchivedRows:
        """Return the rows that were read on the days from `since` to `until`, both included, in UTC.

        One listing for each table and day; use Athena for a fleet.

        Raises:
            InvalidInput: an object is no file of rows, or `until` lies before `since`.
        """
        if until < since:
            raise InvalidInput.single("no period", "until", f"{until} lies before {since}")
        where = place or self.place
        days = [since + dt.timedelta(days=n) for n in range((until - since).days + 1)]
        events = (
            found
            for key in self._keys("events", where, days)
            if isinstance(found := parse(json.loads(self._body(key))), FrequencyChanged)
        )
        return ArchivedRows(
            scans=self._table("scans", ScanRow, where, days),
            findings=self._table("findings", FindingRow, where, days),
            deployments=self._table("deployments", DeploymentRow, where, days),
            changes=tuple(events),
        )

    def verify(self, scan: ScanRow) -> str | None:
        """Return what is wrong with the raw body behind a row; None when it is there and has the SHA-256 of the row."""
        if scan.raw_key is None or scan.raw_sha256 is None:
            return "the row names no raw body"
        body = self._objects.get(scan.raw_key)
        if body is None:
            return f"{scan.raw_key} is missing"
        found = hashlib.sha256(body).hexdigest()
        return None if found == scan.raw_sha256 else f"{scan.raw_key} has the SHA-256 {found}, not {scan.raw_sha256}"

    def _keys(self, table: str, place: Place, days: Iterable[dt.date]) -> Iterable[str]:
        for day in days:
            yield from self._objects.keys(self.layout.folder(table, place, day))

    def _table(self, table: str, kind: type[T], place: Place, days: Iterable[dt.date]) -> tuple[T, ...]:
        return tuple(row for key in self._keys(table, place, days) for row in read_lines(self._body(key), kind))

    def _body(self, key: str) -> bytes:
        body = self._objects.get(key)
        if body is None:
            raise InvalidInput.single("the archive changed while it was read", key, "was listed and is gone")
        return body

    def _check(self, report: ScanReport, raws: list[dict[str, Any]] | None, at: dt.datetime | None) -> None:
        problems: list[Problem] = []
        if not report.complete:
            problems.append(Problem("$.complete", f"the report is not whole: {report.incomplete_because}"))
        problems += [
            Problem(f"$.{name}", "the report does not say it")
            for name in ("repository", "digest")
            if getattr(report, name) is None
        ]
        if at is None and report.completed_at is None:
            problems.append(Problem("at", "the report has no time of completion; pass the moment of reading"))
        if raws is not None:
            told = ScanReport.from_api(raws)
            # A report by tag or of a failed scan may say less than the caller knows; it must not say something else.
            problems += [
                Problem(f"$.{name}", f"the pages say {said}, the report says {getattr(report, name)}")
                for name in ("repository", "digest", "status", "completed_at")
                if (said := getattr(told, name)) is not None and said != getattr(report, name)
            ]
            if not told.complete:
                problems.append(Problem("pages", f"are not whole: {told.incomplete_because}"))
        if problems:
            raise InvalidInput("not stored", problems)

    def _store_finding(self, event: FindingChanged, body: bytes) -> Stored:
        states: dict[str, FindingState] = {"ACTIVE": "OPEN", "SUPPRESSED": "SUPPRESSED", "CLOSED": "CLOSED"}
        state = states.get(event.state, "OPEN")  # a state that ecrkit does not know is not taken for a fix
        part = hashlib.sha256(body).hexdigest()[:32]
        rows = finding_rows(event.report, scan_id=part, read_at=event.at, state=state, record="event")
        return self._put_all(part, [(self.layout.part("findings", event.place, part, event.at), to_lines(rows))])

    def _store_coverage(self, event: CoverageChanged, body: bytes) -> Stored:
        report = ScanReport(
            source="inspector",
            repository=event.repository,
            digest=event.digest,
            status=f"COVERAGE_{event.state}",
            status_description=event.reason,
        )
        part = hashlib.sha256(body).hexdigest()[:32]
        row = scan_row(report, scan_id=part, read_at=event.at, kind="coverage")
        return self._put_all(part, [(self.layout.part("scans", event.place, part, event.at), to_lines([row]))])

    def _write(
        self,
        place: Place,
        raw: tuple[str, bytes],
        scan: ScanRow,
        report: ScanReport,
        hidden: tuple[Finding, ...],
    ) -> Stored:
        part, moment = scan.scan_id, scan.read_at
        rows = (
            *finding_rows(report, scan_id=part, read_at=moment),
            *finding_rows(report, scan_id=part, read_at=moment, findings=hidden, state="SUPPRESSED"),
        )
        objects = [raw]
        if rows:
            objects.append((self.layout.part("findings", place, part, moment), to_lines(rows)))
        # The row of the reading comes last: without the findings beside it, it would tell of a clean image.
        objects.append((self.layout.part("scans", place, part, moment), to_lines([scan])))
        return self._put_all(part, objects)

    def _put_all(self, scan_id: str, objects: list[tuple[str, bytes]]) -> Stored:
        until, told = self._lock()
        mode = self._retention.mode if self._retention is not None and until is not None else None
        written = []
        for key, body in objects:
            if self._objects.put_new(key, body, retain_until=until, mode=mode):
                written.append(key)
            elif not self._same(key, body):
                raise Conflict(
                    f"{key}: was refused as existing, and does not exist; store again",
                    operation="PutObject", service="s3", code="PreconditionFailed", resource=key,
                )  # fmt: skip
        return Stored(
            scan_id=scan_id,
            keys=tuple(key for key, _ in objects),
            new=bool(written),
            lock=told if written else "written before, with the lock it got then",
            locked_until=until if written else None,
        )

    def _same(self, key: str, body: bytes) -> bool:
        """Return whether the key holds this very content; False when there is no such key."""
        found = self._objects.sha256(key)
        if found is None:
            return False
        if found != hashlib.sha256(body).hexdigest():
            raise Conflict(
                f"{key}: holds other content; nothing was overwritten",
                operation="PutObject", service="s3", code="PreconditionFailed", resource=key,
            )  # fmt: skip
        return True

    def _lock(self) -> tuple[dt.datetime | None, str]:
        """Return until when to lock what is written now, and what to say of it."""
        if self._retention is None:
            return None, "no retention was asked for; a default of the bucket may apply"
        if self._locks is None:
            self._locks = self._objects.lock().enabled
        if self._locks:
            return self._retention.until(self._now()), f"Object Lock: {self._retention}"
        if self._require_lock:
            raise InvalidInput.single(
                "not stored", "retention", f"{self._retention} is required, and the bucket has no Object Lock"
            )
        return None, f"NOT locked: {self._retention} was asked for, and the bucket has no Object Lock"

    def _now(self) -> dt.datetime:
        if self._clock is None:
            raise InvalidInput.single("no time", "at", "pass `at`, or make the archive with a clock")
        return self._clock.now()


def _bare(page: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer without ResponseMetadata, which differs in each call and says nothing of the image."""
    return {k: v for k, v in page.items() if k != "ResponseMetadata"}
