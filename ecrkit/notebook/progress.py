"""Progress bars for long work: a callback on tqdm."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from ecrkit.errors import MissingExtra
from ecrkit.records import Progress

__all__ = ["ProgressBar", "progress_bar"]


class ProgressBar:
    """A callback for `on_progress` that draws a bar for each kind of work; close it, or use it in a `with`."""

    def __init__(self, make: Any) -> None:
        # Any: tqdm is an extra, and its two kinds of bar have no common type.
        self._make = make
        self._bars: dict[str, Any] = {}

    def __call__(self, progress: Progress) -> None:
        """Draw how far the work is."""
        bar = self._bars.get(progress.what)
        if bar is None:
            bar = self._bars[progress.what] = self._make(total=progress.total, desc=progress.what or None, unit="")
        if progress.total is not None:
            bar.total = progress.total
        # Work that starts anew, such as a second crawl, goes back.
        bar.update(progress.done - bar.n)
        if progress.total is not None and progress.done >= progress.total:
            bar.refresh()

    def close(self) -> None:
        """Leave the bars as they are; later progress draws new ones."""
        for bar in self._bars.values():
            bar.close()
        self._bars.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def progress_bar(**options: Any) -> ProgressBar:
    """Return a callback for `on_progress` that draws bars, in a notebook or in a terminal, whichever runs it.

    Args:
        options: for tqdm, such as `file` or `disable`.

    Raises:
        MissingExtra: tqdm is not installed.

    Example:
        >>> import io
        >>> from ecrkit.records import Progress
        >>> shown = io.StringIO()
        >>> with progress_bar(file=shown) as bar:
        ...     bar(Progress(done=2, total=2, what="repositories"))
        >>> "repositories: 100%" in shown.getvalue()
        True
    """
    try:
        from tqdm.auto import tqdm
    except ImportError as fault:
        raise MissingExtra("tqdm", extra="notebook") from fault

    def make(**more: Any) -> Any:
        return tqdm(**more, **options)

    return ProgressBar(make)
