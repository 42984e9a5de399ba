"""What all plots share: matplotlib loaded when needed, colours that everybody can tell apart, sizes for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ecrkit.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BLUE", "COLOURS", "GREY", "ORANGE", "axes_of", "bytes_axis", "unit_of"]

# Okabe and Ito's palette, told apart with any colour vision: jfly.uni-koeln.de/color.
BLUE: Final = "#0072B2"
ORANGE: Final = "#D55E00"
GREY: Final = "#999999"
COLOURS: Final = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#F0E442", GREY)

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def axes_of(ax: Axes | None, *, width: float = 8.0, height: float = 4.0) -> Axes:
    """Return the axes to draw on: those given, or new ones of that size in inches.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as fault:
        raise MissingExtra("matplotlib", extra="notebook") from fault
    _, made = plt.subplots(figsize=(width, height), layout="constrained")
    return made


def unit_of(largest: float) -> tuple[int, str]:
    """Return the factor and name of the binary unit that suits the largest of some byte counts.

    Example:
        >>> unit_of(5 * 2**30)
        (1073741824, 'GiB')
    """
    power = 0
    while power < len(_UNITS) - 1 and largest >= 1024 ** (power + 1):
        power += 1
    return 1024**power, _UNITS[power]


def bytes_axis(axis: Any, unit: str, what: str) -> None:
    """Name an axis of byte counts that were divided by their unit."""
    axis.set_label_text(f"{what} ({unit})")
