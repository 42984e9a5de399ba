"""Merging credentials into a Docker configuration file on disk, so that nothing that was in it is lost."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
import threading
from pathlib import Path
from typing import Any, Final

import attrs

from ecrkit.auth.docker_config import MergeReport, config_problems, merge_docker_config
from ecrkit.auth.manifests import Manifest
from ecrkit.errors import Conflict, InvalidInput

__all__ = ["update_docker_config"]

_ROUNDS: Final = 10
_LOCK: Final = threading.Lock()


@attrs.frozen
class _Content:
    """The bytes of a file with passwords: masked, since error trackers record the locals of frames."""

    data: bytes = attrs.field(repr=False)


def update_docker_config(path: str | os.PathLike[str], new: Manifest) -> MergeReport:
    """Merge a Docker configuration into the file at `path`, and return what changed.

    The file is replaced in one step: a temporary file in the same folder, flushed to disk, then renamed over it, with
    mode 0600. A reader sees the old content or the new, never a part. Other members and hosts stay. A missing file and
    missing folders are made. A symbolic link stays one, and what it points to is replaced. When another program writes
    the file meanwhile, its change is read and kept.

    Raises:
        InvalidInput: the file is no readable Docker configuration; it is left as it was.
        Conflict: other programs change the file without pause.
        OSError: the file system refuses; the file is left as it was.

    Example:
        >>> import tempfile, pathlib
        >>> from ecrkit.auth import cred_helpers
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "config.json"
        ...     _ = path.write_text('{"psFormat": "table"}')
        ...     report = update_docker_config(path, cred_helpers(["public.ecr.aws"]))
        ...     report.added, json.loads(path.read_text())["psFormat"]
        (('public.ecr.aws',), 'table')
    """
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise InvalidInput.single("no Docker configuration", str(path), "is a link that leads back to itself")
    with _LOCK:
        for _ in range(_ROUNDS):
            report = _attempt(target, new)
            if report is not None:
                return report
    raise Conflict(f"{path} changes all the time; nothing was written", operation="write a file", service="file system")


def _attempt(target: Path, new: Manifest) -> MergeReport | None:
    """Write once and return what changed; None when somebody else wrote in between."""
    before = _content(target)
    merge = merge_docker_config({} if before is None else _parsed(before, target), new)
    body = _Content((json.dumps(merge.config, indent="\t", ensure_ascii=False) + "\n").encode())
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # mode 0600, never a known name
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body.data)
            file.flush()
            _keep_owner(file.fileno(), target)
            os.fsync(file.fileno())
        if _content(target) != before:
            return None
        temporary.replace(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    _sync_folder(target.parent)
    return merge.report


def _content(target: Path) -> _Content | None:
    try:
        if not stat.S_ISREG(os.stat(target).st_mode):  # noqa: PTH116 - one call, no race between exists and is_file
            raise InvalidInput.single("no Docker configuration", str(target), "is no regular file")
        return _Content(target.read_bytes())
    except FileNotFoundError:
        return None


def _keep_owner(handle: int, target: Path) -> None:
    # Root writing a user's file must not take it away from the user.
    with contextlib.suppress(FileNotFoundError):
        was, now = target.stat(), os.fstat(handle)
        if (was.st_uid, was.st_gid) != (now.st_uid, now.st_gid):
            os.fchown(handle, was.st_uid, was.st_gid)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _parsed(content: _Content, target: Path) -> dict[str, Any]:
    found = _parsed_or_fault(content)
    if isinstance(found, str):
        raise InvalidInput.single("no Docker configuration", str(target), f"{found}; it was left as it is")
    return found


class _Twice(ValueError):
    """A member stands twice; a parser that keeps one of them would lose the other."""


def _parsed_or_fault(content: _Content) -> dict[str, Any] | str:
    """Return the object, or what is wrong; a JSONDecodeError holds the whole document, so none leaves here."""
    if not content.data.strip():
        return {}
    try:
        found = json.loads(content.data.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        return f"is not JSON (line {error.lineno}, column {error.colno})"
    except UnicodeDecodeError:
        return "is not UTF-8"
    except (_Twice, RecursionError) as error:
        return str(error) if isinstance(error, _Twice) else "is nested too deeply"
    problems = config_problems(found)
    return "; ".join(map(str, problems)) if problems else found


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Twice(f"has the member {twice[:80]!r} twice")
    return made


def _refuse_constant(name: str) -> Any:
    raise _Twice(f"holds {name}, which is not JSON")
