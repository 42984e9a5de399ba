"""Pictures of what is stored and what it costs: by owner and repository, over time, and which layers are shared."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from ecrkit._internal.counting import counted
from ecrkit._internal.tables import size
from ecrkit.cost.attribution import Attribution
from ecrkit.cost.bill import UNTAGGED, Bill
from ecrkit.cost.storage import StorageReport
from ecrkit.cost.trend import StorageTrend
from ecrkit.images.inventory import Inventory
from ecrkit.notebook._axes import BLUE, COLOURS, GREY, ORANGE, axes_of, bytes_axis, unit_of
from ecrkit.notebook._treemap import squares

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["bill_bars", "growth_lines", "layer_sharing", "storage_bars", "storage_treemap"]

_LONGEST: Final = 32
_PALE: Final = "#DDDDDD"
_LINES: Final = tuple(colour for colour in COLOURS if colour not in {GREY, "#F0E442"})  # yellow is lost on white
_LETTER: Final = 2.3  # how wide a letter is, in the units of a treemap 160 wide
Sizes = Sequence[tuple[str, int, int]]  # a name, the least bytes, the most


def storage_bars(what: StorageReport | Attribution, ax: Axes | None = None, *, top: int = 15) -> Axes:
    """Draw what repositories or owners store, as bars, the greatest above; return the axes.

    A bar reaches to what is stored at least. Where that is a range, a line reaches to the most; when nothing bounds
    it, the number says "at least". What is beyond `top` is one grey bar.

    Args:
        what: a storage report, for its repositories, or an attribution, for its owners.
        ax: where to draw.
        top: how many bars there are by themselves.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    names, unbounded = _sizes(what)
    shown, rest = names[:top], names[top:]
    if rest:
        other = rest[0][0] if len(rest) == 1 else f"{len(rest)} others"
        shown = [*shown, (other, sum(low for _, low, _ in rest), sum(high for _, _, high in rest))]
        if any(name in unbounded for name, _, _ in rest):
            unbounded = unbounded | {other}
    drawn = axes_of(ax, height=max(2.0, 0.34 * len(shown) + 1.2))
    factor, unit = unit_of(max((high for _, _, high in shown), default=0))
    last = len(shown) - 1 if rest else -1
    drawn.barh(
        range(len(shown)), [low / factor for _, low, _ in shown],
        color=[GREY if n == last else BLUE for n in range(len(shown))],
    )  # fmt: skip
    for place, (name, low, high) in enumerate(shown):
        told, reach = size(low), high
        if name in unbounded:
            told, reach = f"at least {told}", low
        elif high > low:
            drawn.plot([low / factor, high / factor], [place, place], color=ORANGE, linewidth=3, solid_capstyle="butt")
            told = f"{told} to {size(high)}"
        drawn.annotate(
            told, (reach / factor, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9
        )
    drawn.set_yticks(range(len(shown)), [_short(name) for name, _, _ in shown])
    drawn.invert_yaxis()
    drawn.set_xlim(0, max((high for _, _, high in shown), default=1) / factor * 1.28 or 1)
    bytes_axis(drawn.xaxis, unit, "stored")
    drawn.set_title(_title(what), loc="left")
    _bare(drawn)
    return drawn


def storage_treemap(
    report: StorageReport, ax: Axes | None = None, *, owners: Mapping[str, str | None] | None = None, top: int = 40
) -> Axes:
    """Draw a registry as one rectangle, each repository a part of it by its stored bytes; return the axes.

    Owners have colours, and their repositories lie together; what nobody owns is grey. Areas are the least bytes of
    each repository. Names stand where they fit. What is beyond `top` is one part of its owner.

    Args:
        report: what repositories store.
        ax: where to draw.
        owners: the owner by repository, such as the value of the tag `Team`; by default the first part of the name.
        top: how many repositories are drawn by themselves.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    drawn = axes_of(ax, width=8.0, height=4.6)
    from matplotlib.patches import Rectangle

    parts = _by_owner(report, owners, top)
    totals = {owner: sum(count for _, count in found) for owner, found in parts.items()}
    ranked = sorted((o for o in parts if totals[o] > 0), key=lambda o: (o is None, -totals[o], o or ""))
    named = [owner for owner in ranked if owner is not None]
    # Colours are few, and two owners of one colour would look like one: the smaller ones are pale together.
    colours = {owner: COLOURS[n] for n, owner in enumerate(named[: len(COLOURS) - 1])}
    width, height = 160.0, 90.0
    boxes = squares([totals[owner] for owner in ranked], 0.0, 0.0, width, height)
    for owner, box in zip(ranked, boxes, strict=True):
        colour = GREY if owner is None else colours.get(owner, _PALE)
        inside = [(name, count) for name, count in parts[owner] if count > 0]
        for (name, count), cell in zip(inside, squares([c for _, c in inside], *box), strict=True):
            x, y, w, h = cell
            drawn.add_patch(Rectangle((x, y), w, h, facecolor=colour, edgecolor="white", linewidth=1.5))
            _label(drawn, name, count, cell, "white" if colour == BLUE else "black")
        x, y, w, h = box
        drawn.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor="black", linewidth=1.6))
    drawn.set_xlim(0, width)
    drawn.set_ylim(height, 0)
    drawn.set_axis_off()
    drawn.set_title(_title(report), loc="left")
    _owners_legend(drawn, ranked, totals, colours)
    return drawn


def growth_lines(
    series: StorageTrend | Mapping[str, Iterable[tuple[dt.datetime, int]]],
    ax: Axes | None = None,
    *,
    by: Literal["repository", "team"] = "repository",
    top: int = 6,
    title: str = "stored bytes over time",
) -> Axes:
    """Draw how stored bytes grew, a line for each name, labelled at its end; return the axes.

    Names beyond the `top` greatest are added up in one grey line. A name that has no value at some time has a gap
    there and no zero; the grey line then starts where all of its names have one.

    Args:
        series: a trend, of which the least bytes are drawn; or times and bytes by name.
        ax: where to draw.
        by: which lines of a trend.
        top: how many lines there are by themselves; at most 6, so that every one has its colour.
        title: what stands above.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    if isinstance(series, StorageTrend):
        names = series.teams if by == "team" else series.repositories
        known = {name: {point.at: point.bytes.low for point in series.of(name)} for name in names}
    else:
        known = {name: dict(points) for name, points in series.items()}
    known = {name: points for name, points in known.items() if points}
    ranked = sorted(known, key=lambda name: (-known[name][max(known[name])], name))
    few = min(top, len(_LINES))
    shown, rest = ranked[:few], ranked[few:]
    lines = [(name, sorted(known[name].items()), _LINES[n]) for n, name in enumerate(shown)]
    if rest:
        times = sorted(set.intersection(*(set(known[name]) for name in rest)))
        name = rest[0] if len(rest) == 1 else f"{len(rest)} others"
        lines.append((name, [(at, sum(known[n][at] for n in rest)) for at in times], GREY))
    drawn = axes_of(ax, width=8.0, height=4.5)
    factor, unit = unit_of(max((count for _, points, _ in lines for _, count in points), default=0))
    from matplotlib import dates

    made: Any = dates  # its functions are not typed
    ends: list[tuple[float, str, str]] = []
    for name, points, colour in lines:
        if points:
            at = [float(made.date2num(time)) for time, _ in points]
            drawn.plot(at, [count / factor for _, count in points], color=colour, linewidth=2, marker="o", markersize=3)
            ends.append((points[-1][1] / factor, f"{_short(name)}  {size(points[-1][1])}", colour))
    drawn.set_ylim(0, drawn.get_ylim()[1] or 1)
    drawn_at = [float(made.date2num(at)) for _, points, _ in lines for at, _ in points]
    if drawn_at:
        around = max(0.02 * (max(drawn_at) - min(drawn_at)), 0.5)
        drawn.set_xlim(min(drawn_at) - around, max(drawn_at) + around)
    locator = made.AutoDateLocator()
    drawn.xaxis.set_major_locator(locator)
    drawn.xaxis.set_major_formatter(made.ConciseDateFormatter(locator))
    _end_labels(drawn, ends)
    bytes_axis(drawn.yaxis, unit, "stored")
    drawn.set_title(title, loc="left")
    _bare(drawn)
    return drawn


def layer_sharing(inventories: Iterable[Inventory], ax: Axes | None = None, *, top: int = 12) -> Axes:
    """Draw which repositories hold the same layers, as a heat map of the bytes that each two share; return the axes.

    These bytes are stored in both, unless blob mounting is on and the pushes mounted them. The diagonal is what a
    repository holds, and is not coloured. Only the `top` repositories that share most are drawn. Read the inventories
    with all manifests: layers of an unread image are not known, and the title then says so.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    held: dict[str, dict[str, int]] = {}
    unread = 0
    for inventory in inventories:
        digests = {d for m in inventory.manifests.values() for d in m.blob_digests}
        held[inventory.repository or "(no name)"] = dict(inventory.blobs.least(digests))
        unread += sum(not i.is_index and i.digest not in inventory.manifests for i in inventory.images)
    names = sorted(held)
    users: dict[str, int] = {}
    for blobs in held.values():
        for digest in blobs:
            users[digest] = users.get(digest, 0) + 1
    shared = {name: sum(n for d, n in held[name].items() if users[d] > 1) for name in names}
    sharing = sorted((name for name in names if shared[name]), key=lambda name: (-shared[name], name))
    names = sharing[:top]
    table = [[sum(n for d, n in held[a].items() if d in held[b]) for b in names] for a in names]
    notes = []
    if len(sharing) > top:
        notes.append(f"{counted(len(sharing) - top, 'more repository shares', 'more repositories share')} less")
    if len(held) > len(sharing):
        notes.append(f"{counted(len(held) - len(sharing), 'repository shares', 'repositories share')} nothing")
    if unread:
        notes.append(f"layers of {counted(unread, 'unread image')} are not known")
    return _heat_map(names, table, notes, ax)


def bill_bars(bill: Bill, key: str | None = None, ax: Axes | None = None, *, top: int = 7) -> Axes:
    """Draw a bill period by period as stacked bars, by one of its keys; return the axes.

    What carries no value of the tag has a colour of its own, grey; estimated periods are hatched. A bill that is not
    known is drawn as no bars, with the reason.

    Args:
        bill: from `registry.cost.bill`.
        key: what to stack by; by default the first that the bill is grouped by.
        ax: where to draw.
        top: how many values have a colour of their own; at most 6. The others are added up.

    Raises:
        InvalidInput: the bill is not grouped by that key.
        MissingExtra: matplotlib is not installed.
    """
    chosen = key or bill.grouped_by[0]
    ranked = [group.value for group in bill.by(chosen)]
    drawn = axes_of(ax, width=8.0, height=4.5 if bill.known else 1.5)
    if not bill.known:
        drawn.text(0.5, 0.5, "not known:\n" + "\n".join(bill.unknown), ha="center", va="center", wrap=True)
        drawn.set_axis_off()
        drawn.set_title(str(bill), loc="left")
        return drawn
    own = [value for value in ranked if value is not None][: min(top, len(COLOURS) - 2)]
    place = bill.grouped_by.index(chosen)
    starts = sorted({line.start for line in bill.lines})
    at = {start: n for n, start in enumerate(starts)}
    # By the value itself and not by its name: a team may be called "others".
    stacks: dict[str | None, list[float]] = {value: [0.0] * len(starts) for value in own}
    others, untagged = [0.0] * len(starts), [0.0] * len(starts)
    for line in bill.lines:
        value = line.group[place]
        heights = untagged if value is None else stacks.get(value, others)
        heights[at[line.start]] += float(line.amount)
    parts = [(_short(value), COLOURS[n], stacks[value]) for n, value in enumerate(own)]
    beyond = len({value for value in ranked if value is not None}) - len(own)
    parts += [(counted(beyond, "other"), COLOURS[6], others)] if beyond else []
    parts += [(UNTAGGED, GREY, untagged)] if None in ranked else []
    base = [0.0] * len(starts)
    for name, colour, heights in parts:
        bars = drawn.bar(range(len(starts)), heights, 0.7, bottom=base, color=colour, label=name, edgecolor="white")
        for bar, start in zip(bars, starts, strict=True):
            if start in bill.estimated:
                bar.set_hatch("//")
        base = [low + more for low, more in zip(base, heights, strict=True)]
    for n, (total, start) in enumerate(zip(base, starts, strict=True)):
        told = f"{total:,.2f}" + ("\nestimated" if start in bill.estimated else "")
        drawn.annotate(told, (n, total), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=9)
    form = "%b %Y" if bill.granularity == "MONTHLY" else "%d %b"
    step = max(1, len(starts) // 12)
    drawn.set_xticks(range(0, len(starts), step), [start.strftime(form) for start in starts[::step]])
    drawn.set_ylabel(bill.currency)
    drawn.margins(y=0.18)
    drawn.set_title(f"cost of ECR by {chosen}", loc="left")
    drawn.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1), reverse=True)
    _bare(drawn)
    return drawn


# ---- parts of pictures


def _sizes(what: StorageReport | Attribution) -> tuple[list[tuple[str, int, int]], frozenset[str]]:
    """Return names with least and most bytes, the greatest first, and those that nothing bounds."""
    if isinstance(what, Attribution):
        rows = [(share.name, share.bytes) for share in what.shares]
    else:
        rows = [(found.repository or "(no name)", found.bytes) for found in what.repositories]
    made = [(name, told.low, told.low if told.high is None else told.high) for name, told in rows]
    unbounded = frozenset(name for name, told in rows if told.high is None)
    return sorted(made, key=lambda row: (-row[2], -row[1], row[0])), unbounded


def _title(what: StorageReport | Attribution) -> str:
    if isinstance(what, Attribution):
        return f"{what.total} stored by {counted(len(what.shares), 'owner')}"
    return str(what)


def _short(name: str) -> str:
    """Return a name that is no wider than a picture bears: whose it is and how it ends tell most."""
    if len(name) <= _LONGEST:
        return name
    head = name.partition("/")[0] + "/" if "/" in name else ""
    head = head if len(head) <= _LONGEST // 2 else name[: _LONGEST // 2]
    return f"{head}…{name[len(head) - _LONGEST + 1 :]}"


def _bare(drawn: Axes) -> None:
    for side in ("top", "right"):
        drawn.spines[side].set_visible(False)


def _by_owner(
    report: StorageReport, owners: Mapping[str, str | None] | None, top: int
) -> dict[str | None, list[tuple[str, int]]]:
    found: dict[str | None, list[tuple[str, int]]] = {}
    beyond: dict[str | None, list[tuple[str, int]]] = {}
    for n, row in enumerate(report.largest(len(report.repositories))):
        name = row.repository
        owner = (name.partition("/")[0] if "/" in name else None) if owners is None else owners.get(name)
        if n < top:
            found.setdefault(owner, []).append((name, row.bytes.low))
        else:
            beyond.setdefault(owner, []).append((name, row.bytes.low))
    for owner, rows in beyond.items():
        told = rows[0][0] if len(rows) == 1 else f"{len(rows)} others"
        found.setdefault(owner, []).append((told, sum(count for _, count in rows)))
    return {owner: sorted(rows, key=lambda row: (-row[1], row[0])) for owner, rows in found.items()}


def _label(drawn: Axes, name: str, count: int, cell: tuple[float, float, float, float], colour: str) -> None:
    """Write a name into its part where it fits: with its bytes or without, the whole or its last part, or upright."""
    x, y, width, height = cell
    last = name.rpartition("/")[2]
    for told in (f"{name}\n{size(count)}", f"{last}\n{size(count)}", name, last):
        lines = told.split("\n")
        # Nobody reads upright text at a glance: only where the same does not fit level.
        for upright, along, across in ((False, width, height), (True, height, width)):
            if max(map(len, lines)) * _LETTER <= along - 2 and 4.5 * len(lines) <= across:
                drawn.text(x + width / 2, y + height / 2, told, ha="center", va="center", color=colour, fontsize=10,
                           rotation=90 if upright else 0)  # fmt: skip
                return


def _owners_legend(
    drawn: Axes, ranked: Sequence[str | None], totals: Mapping[str | None, int], colours: Mapping[str, str]
) -> None:
    from matplotlib.patches import Patch

    entries = [Patch(color=colours[o], label=f"{_short(o)}  {size(totals[o])}") for o in ranked if o in colours and o]
    plain = [owner for owner in ranked if owner is not None and owner not in colours]
    if plain:
        told = size(sum(totals[o] for o in plain))
        entries.append(Patch(color=_PALE, label=f"{counted(len(plain), 'smaller owner')}  {told}"))
    if None in ranked:
        entries.append(Patch(color=GREY, label=f"(no owner)  {size(totals[None])}"))
    if entries:
        drawn.legend(handles=entries, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _end_labels(drawn: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write labels at the ends of lines, moved apart so that none covers another."""
    highest = drawn.get_ylim()[1]
    places = _spread([value for value, _, _ in sorted(ends)], 0.065 * highest)
    # A pile that would stand out above moves down as a whole.
    over = max(0.0, max(places, default=0.0) - highest)
    for (value, text, colour), place in zip(sorted(ends), places, strict=True):
        drawn.annotate(
            text, (1.0, value), xycoords=("axes fraction", "data"), xytext=(1.04, place - over),
            textcoords=("axes fraction", "data"), va="center", fontsize=9, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0,
                        "relpos": (0.0, 0.5)},
        )  # fmt: skip


def _spread(values: Sequence[float], least: float) -> list[float]:
    """Return places for sorted values that are at least so far apart, each pile around the mean of its values."""
    piles: list[list[float]] = []
    for value in values:
        piles.append([value])
        while len(piles) > 1 and _top(piles[-2], least) + least > _bottom(piles[-1], least):
            last = piles.pop()
            piles[-1] += last
    return [_bottom(pile, least) + n * least for pile in piles for n in range(len(pile))]


def _bottom(pile: Sequence[float], least: float) -> float:
    return sum(pile) / len(pile) - least * (len(pile) - 1) / 2


def _top(pile: Sequence[float], least: float) -> float:
    return sum(pile) / len(pile) + least * (len(pile) - 1) / 2


def _heat_map(names: list[str], table: list[list[int]], notes: list[str], ax: Axes | None) -> Axes:
    drawn = axes_of(ax, width=max(5.0, 0.75 * len(names) + 3), height=max(3.5, 0.5 * len(names) + 2))
    largest = max((n for r, row in enumerate(table) for c, n in enumerate(row) if r != c), default=0)
    factor, unit = unit_of(largest)
    nothing = float("nan")
    values = [[nothing if r == c else n / factor for c, n in enumerate(row)] for r, row in enumerate(table)]
    if names:
        picture = drawn.imshow(values, cmap="Blues", vmin=0, vmax=largest / factor or 1)
        bar = drawn.figure.colorbar(picture, ax=drawn, shrink=0.8, pad=0.02)
        bar.set_label(f"shared ({unit})")
    for r, row in enumerate(table):
        for c, n in enumerate(row):
            dark = r != c and n > 0.6 * largest
            told = _compact(n) if n else "–"
            drawn.text(c, r, told, ha="center", va="center", fontsize=8, color="white" if dark else "black",
                       style="italic" if r == c else "normal")  # fmt: skip
    drawn.set_xticks(range(len(names)), [_short(n) for n in names], rotation=35, ha="right", rotation_mode="anchor")
    drawn.set_yticks(range(len(names)), [_short(n) for n in names])
    told = "bytes that two repositories both hold (M is MiB, G is GiB); in italics all that one holds"
    told += f"\n{'; '.join(notes)}" if notes else ""
    drawn.set_title(told, loc="left", fontsize=10)
    for side in drawn.spines.values():
        side.set_visible(False)
    drawn.tick_params(length=0)
    return drawn


def _compact(count: int) -> str:
    factor, unit = unit_of(count)
    value = count / factor
    return f"{value:.0f}{unit[0]}" if value >= 10 or factor == 1 else f"{value:.1f}{unit[0]}"
