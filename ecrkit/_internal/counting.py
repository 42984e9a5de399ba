"""Counts in sentences that read well for one and for many."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return the number with its noun; the plural ends in s unless given.

    Example:
        >>> counted(1, "image"), counted(2, "image"), counted(0, "index", "indexes")
        ('1 image', '2 images', '0 indexes')
        >>> counted(1, "image is", "images are")
        '1 image is'
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
