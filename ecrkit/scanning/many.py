"""One gate on many scans, here or on any executor."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from functools import partial

from ecrkit._internal.executors import map_chunks
from ecrkit._internal.times import require_aware
from ecrkit.ports import OnProgress
from ecrkit.records import Progress
from ecrkit.scanning.exemptions import Exemptions
from ecrkit.scanning.findings import ScanReport
from ecrkit.scanning.gate import Gate
from ecrkit.scanning.platforms import ImageScan
from ecrkit.scanning.verdict import Verdict
from ecrkit.scanning.vex import VexStatements

__all__ = ["judge_many"]


def judge_many(
    gate: Gate,
    scans: Mapping[str, ScanReport | ImageScan],
    *,
    now: dt.datetime,
    exemptions: Exemptions | None = None,
    vex: VexStatements | None = None,
    platforms: Iterable[str] | None = None,
    executor: Executor | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Verdict]:
    """Return the verdict on every scan, by its name and in the order given; the same as `gate.judge` on each.

    Calls nothing. A scan that could not be read has a problem, and its verdict is undetermined.

    Args:
        gate: what every scan is judged by.
        scans: by name, such as what `registry.scanning.reports(refs)` returns.
        now: the instant that exemptions and periods of grace are measured by.
        exemptions: for all.
        vex: for all.
        platforms: as in `Gate.judge`.
        executor: where to work: of threads, processes, or a cluster. Whatever runs elsewhere is pickled.
        on_progress: called after each chunk.

    Raises:
        ValueError: `now` has no time zone.

    Example:
        >>> from ecrkit.scanning import Gate, ImageScan, count_limit
        >>> found = judge_many(Gate(count_limit("CRITICAL", 0)), {"app:v1": ImageScan(problem="not read")},
        ...                    now=dt.datetime(2026, 11, 25, tzinfo=dt.UTC))
        >>> found["app:v1"].outcome
        'undetermined'
    """
    work = partial(
        _judge,
        gate=gate,
        now=require_aware(now, "now"),
        exemptions=exemptions,
        vex=vex,
        platforms=None if platforms is None else tuple(platforms),
    )
    found: dict[str, Verdict] = {}
    for part in map_chunks(work, scans.items(), executor=executor):
        found.update(part)
        if on_progress is not None:
            on_progress(Progress(done=len(found), total=len(scans), what="verdicts"))
    return found


def _judge(
    chunk: list[tuple[str, ScanReport | ImageScan]],
    *,
    gate: Gate,
    now: dt.datetime,
    exemptions: Exemptions | None,
    vex: VexStatements | None,
    platforms: tuple[str, ...] | None,
) -> list[tuple[str, Verdict]]:
    return [
        (name, gate.judge(scan, now=now, exemptions=exemptions, vex=vex, platforms=platforms)) for name, scan in chunk
    ]
