"""A rectangle cut into parts of given areas that are as near to squares as they can be.

Source: Bruls, Huizing, van Wijk, "Squarified Treemaps", 2000.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Box", "squares"]

Box = tuple[float, float, float, float]
"""Left, upper edge, width, height."""


def squares(weights: Sequence[float], x: float, y: float, width: float, height: float) -> list[Box]:
    """Return a box for each weight, in their order; weights are positive, and the greatest should come first.

    Example:
        >>> squares([2, 1, 1], 0, 0, 4, 2)
        [(0, 0.0, 2.0, 2.0), (2.0, 0.0, 2.0, 1.0), (2.0, 1.0, 2.0, 1.0)]
    """
    whole = sum(weights)
    if whole <= 0:
        return []
    areas = [weight * width * height / whole for weight in weights]
    boxes: list[Box] = []
    start = 0
    while start < len(areas):
        side = min(width, height)
        end = start + 1
        while end < len(areas) and _worst(areas[start : end + 1], side) <= _worst(areas[start:end], side):
            end += 1
        row = areas[start:end]
        depth = sum(row) / side if side else 0.0
        at = 0.0
        for area in row:
            length = area / depth if depth else 0.0
            boxes.append((x, y + at, depth, length) if width >= height else (x + at, y, length, depth))
            at += length
        if width >= height:
            x, width = x + depth, max(0.0, width - depth)
        else:
            y, height = y + depth, max(0.0, height - depth)
        start = end
    return boxes


def _worst(row: Sequence[float], side: float) -> float:
    """Return the greatest ratio of sides in a row along a side."""
    total = sum(row)
    if not total or not side or not min(row):
        return float("inf")
    return max(side * side * max(row) / total**2, total**2 / (side * side * min(row)))
