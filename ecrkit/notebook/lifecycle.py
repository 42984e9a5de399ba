"""Pictures of lifecycle policies: when images go, what a repository will hold, what a fleet would free."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Literal

from ecrkit._internal.tables import size
from ecrkit.lifecycle import FleetRun, Forecast, Timeline
from ecrkit.notebook._axes import BLUE, GREY, ORANGE, axes_of, bytes_axis, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["forecast_band", "lifecycle_timeline", "savings"]

_NUMBERED: Final = 20


def lifecycle_timeline(timeline: Timeline, ax: Axes | None = None) -> Axes:
    """Draw how many images are left day by day if nobody pushes, and how many go on each day; return the axes.

    Bars stand on the same axes: what expires in orange, what is archived in grey below it, counted downwards from 0.
    Up to 20 of them carry their numbers, since one great day makes all others small.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    drawn = axes_of(ax)
    left = len(timeline.start)
    days: list[dt.datetime] = [timeline.begins]
    counts = [left]
    expired = Counter(d.at for d in timeline.departures if d.action == "expire")
    archived = Counter(d.at for d in timeline.departures if d.action == "transition")
    for at in sorted(expired):
        left -= expired[at]
        days.append(at)
        counts.append(left)
    days.append(timeline.until)
    counts.append(left)
    drawn.step(_numbers(days), counts, where="post", color=BLUE, linewidth=2, label="images left")
    width = max(timeline.every, (timeline.until - timeline.begins) / 120) / dt.timedelta(days=1)
    for counted, colour, label in ((expired, ORANGE, "expire that day"), (archived, GREY, "archived that day")):
        if counted:
            down = [-n for n in counted.values()]
            under = [-expired[at] if counted is archived else 0 for at in counted]
            drawn.bar(_numbers(counted), down, bottom=under, width=width, color=colour, label=label, align="edge")
    gone = expired + archived
    for at, place in zip(gone, _numbers(gone), strict=True) if len(gone) <= _NUMBERED else ():
        drawn.annotate(
            str(gone[at]), (place + width / 2, -gone[at]), xytext=(0, -2), textcoords="offset points",
            ha="center", va="top", fontsize=8,
        )  # fmt: skip
    if gone:
        drawn.margins(y=0.1)
    drawn.axhline(0, color="black", linewidth=0.8)
    drawn.set_ylabel("images")
    drawn.set_title(f"{timeline.start.repository or 'repository'}: what goes if nobody pushes")
    drawn.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    drawn.margins(x=0.01)
    drawn.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    _dated(drawn)
    return drawn


def forecast_band(
    forecast: Forecast,
    what: Literal["images", "bytes"] = "images",
    ax: Axes | None = None,
    *,
    limit: float | None = None,
) -> Axes:
    """Draw what a repository will hold, week by week: the expected number and the band of its interval.

    Args:
        forecast: of one repository.
        what: images, or stored bytes when the forecast knows them.
        ax: where to draw.
        limit: a number to draw as a line, such as a quota or a budget.

    Raises:
        MissingExtra: matplotlib is not installed.
        ValueError: the forecast does not know the bytes.
    """
    weeks = [getattr(week, what) for week in forecast.weeks]
    if any(week is None for week in weeks):
        raise ValueError("the forecast does not know the bytes: it was made without all manifests")
    drawn = axes_of(ax)
    factor, unit = unit_of(max(week.high for week in weeks)) if what == "bytes" else (1, "")
    at = _numbers(week.at for week in forecast.weeks)
    low, expected, high = ([getattr(w, part) / factor for w in weeks] for part in ("low", "expected", "high"))
    drawn.fill_between(at, low, high, color=BLUE, alpha=0.25, label=f"{forecast.level:.0%} of futures", linewidth=0)
    drawn.plot(at, expected, color=BLUE, linewidth=2, marker="o", markersize=3, label="expected")
    if limit is not None:
        drawn.axhline(limit / factor, color=ORANGE, linestyle="--", label="limit")
    drawn.set_ylim(bottom=0)
    drawn.set_ylabel("images" if what == "images" else "")
    if what == "bytes":
        bytes_axis(drawn.yaxis, unit, "stored")
    drawn.set_title(f"{forecast.repository or 'repository'}: {forecast.model.per_week:.0f} pushes a week")
    drawn.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    _dated(drawn)
    return drawn


def savings(
    run: FleetRun, ax: Axes | None = None, *, by: Literal["repository", "group"] = "repository", top: int = 15
) -> Axes:
    """Draw what a policy would free, as bars, the greatest above; what is beyond `top` is one bar.

    A bar reaches to what is freed at least; where it is a range, a thin line reaches to the most.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    rows = [(r.repository, r.freed) for r in run.top(len(run.rows))] if by == "repository" else []
    rows = rows or [(total.group or "(none)", total.freed) for total in run.groups()]
    shown, rest = rows[:top], rows[top:]
    bars = [(name, freed.low, freed.low if freed.high is None else freed.high) for name, freed in shown]
    if rest:
        low = sum(freed.low for _, freed in rest)
        most = sum(freed.low if freed.high is None else freed.high for _, freed in rest)
        bars.append((f"{len(rest)} others", low, most))
    drawn = axes_of(ax, height=max(2.0, 0.32 * len(bars) + 1.0))
    factor, unit = unit_of(max((high for _, _, high in bars), default=0))
    places = range(len(bars))
    drawn.barh(places, [low / factor for _, low, _ in bars], color=BLUE)
    for place, (_, low, high) in zip(places, bars, strict=True):
        if high > low:
            drawn.plot([low / factor, high / factor], [place, place], color=ORANGE, linewidth=2)
        told = size(low) if high == low else f"{size(low)} to {size(high)}"
        drawn.annotate(told, (high / factor, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    drawn.set_yticks(list(places), [name for name, _, _ in bars])
    drawn.invert_yaxis()
    drawn.margins(x=0.2)
    drawn.set_xlim(left=0)
    bytes_axis(drawn.xaxis, unit, "freed")
    drawn.set_title(f"{run.expired} of {run.images} images would expire")
    for side in ("top", "right"):
        drawn.spines[side].set_visible(False)
    return drawn


def _numbers(times: Iterable[dt.datetime]) -> list[float]:
    """Return times as matplotlib counts them: days."""
    from matplotlib import dates

    made: Any = dates  # its functions are not typed
    return [float(made.date2num(time)) for time in times]


def _dated(ax: Axes) -> None:
    """Keep dates short and apart."""
    from matplotlib import dates

    made: Any = dates  # its classes are not typed
    locator = made.AutoDateLocator()
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(made.ConciseDateFormatter(locator))
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
