"""The state of unfinished uploads in a file, so that another process can go on where one was stopped."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from typing_extensions import override

from ecrkit.errors import InvalidInput

__all__ = ["UploadFile"]


class UploadFile(MutableMapping[str, str]):
    """A small JSON file that `promotion.apply(..., uploads=...)` keeps up to date; threads may share it.

    It is replaced as a whole, so that it is never half written. It names repositories, digests and upload identifiers,
    and no credentials. ECR forgets unfinished uploads after a while; then a layer is begun anew.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     uploads = UploadFile(Path(folder) / "uploads.json")
        ...     uploads["app@sha256:0"] = "upload-1 10485760 20971520"
        ...     dict(UploadFile(Path(folder) / "uploads.json"))
        {'app@sha256:0': 'upload-1 10485760 20971520'}
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Read the file, when there is one.

        Raises:
            InvalidInput: it is none of these files.
        """
        self._path = Path(path)
        self._lock = threading.Lock()
        self._held: dict[str, str] = {}
        if self._path.exists():
            try:
                read = json.loads(self._path.read_text(encoding="utf-8"))
            except ValueError:
                read = None
            if not isinstance(read, dict) or not all(isinstance(value, str) for value in read.values()):
                raise InvalidInput.single("no uploads", str(self._path), "must be a JSON object of strings")
            self._held = read

    def _write(self) -> None:
        aside = self._path.with_name(self._path.name + ".new")
        aside.write_text(json.dumps(self._held), encoding="utf-8")
        aside.replace(self._path)

    @override
    def __getitem__(self, key: str) -> str:
        return self._held[key]

    @override
    def __setitem__(self, key: str, value: str) -> None:
        with self._lock:
            self._held[key] = value
            self._write()

    @override
    def __delitem__(self, key: str) -> None:
        with self._lock:
            del self._held[key]
            self._write()

    @override
    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter(list(self._held))

    @override
    def __len__(self) -> int:
        return len(self._held)
