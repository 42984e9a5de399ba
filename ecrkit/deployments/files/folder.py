"""A folder of files rewritten: planned first, shown as a diff, then written file by file, each in one step."""

from __future__ import annotations

import difflib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit.deployments.files.places import Refused
from ecrkit.deployments.files.rewriting import Change, ChangeReference, Rewritten, kind_of_file, rewrite_text
from ecrkit.errors import InvalidInput, PlanOutdated

__all__ = ["FilePlan", "FolderPlan", "Skipped", "plan_folder"]

_MOST_BYTES: Final = 5 * 1024 * 1024
_PASSED: Final = frozenset({".git", ".hg", ".svn", "node_modules", ".terraform", ".venv", "__pycache__"})


@attrs.frozen(kw_only=True)
class Skipped(Record):
    """A file that was not looked at, and why."""

    path: str
    reason: str


@attrs.frozen(kw_only=True)
class FilePlan(Record):
    """What would change in one file; `path` is below the folder, with `/`."""

    path: str
    sha256: str
    before: bytes = attrs.field(repr=False)
    after: bytes = attrs.field(repr=False)
    changes: tuple[Change, ...]
    refused: tuple[Refused, ...]

    def diff(self) -> str:
        """Return the change as a unified diff."""
        before, after = (b.decode("utf-8").splitlines(keepends=True) for b in (self.before, self.after))
        lines = difflib.unified_diff(before, after, f"a/{self.path}", f"b/{self.path}")
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)

    def to_dict(self) -> dict[str, object]:
        """Return what changes, without the whole file."""
        return {
            "path": self.path, "sha256": self.sha256, "diff": self.diff(),
            "changes": [c.to_dict() for c in self.changes], "refused": [r.to_dict() for r in self.refused],
        }  # fmt: skip


@attrs.frozen(kw_only=True)
class FolderPlan(Record):
    """What would change in a folder: nothing is written before `apply`."""

    folder: str
    files: tuple[FilePlan, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every change of every file."""
        return tuple(change for file in self.files for change in file.changes)

    @property
    def refused(self) -> tuple[tuple[str, Refused], ...]:
        """Every place that had to stay as it is, with its file."""
        return tuple((file.path, refused) for file in self.files for refused in file.refused)

    @property
    def needed(self) -> bool:
        """Whether there is anything to write."""
        return any(file.before != file.after for file in self.files)

    def diff(self) -> str:
        """Return the changes of all files as one unified diff."""
        return "".join(file.diff() for file in self.files)

    def explain(self) -> str:
        """Return the plan in words: counts, then what was refused and skipped."""
        touched = sum(file.before != file.after for file in self.files)
        lines = [f"{counted(len(self.changes), 'reference')} in {counted(touched, 'file')}"]
        lines += [f"{path}:{r.line}: {r.reference or r.path} {r.reason}" for path, r in self.refused]
        return "\n".join([*lines, *(f"{s.path}: {s.reason}" for s in self.skipped)])

    def apply(self) -> tuple[str, ...]:
        """Write the files and return their paths. All are checked and prepared before the first is replaced.

        Each file is replaced in one step, with its permissions; a reader sees the old or the new text.

        Raises:
            PlanOutdated: a file is not as it was when the plan was made. Nothing was written.
            OSError: a file cannot be written; those before it, in the order of `files`, are.
        """
        root = Path(self.folder)
        todo = [file for file in self.files if file.before != file.after]
        moved = [file.path for file in todo if _read(root, file.path) != file.before]
        if moved:
            raise PlanOutdated(
                f"changed since the plan was made: {', '.join(moved)}; nothing was written", changes=moved
            )
        ready: list[tuple[str, Path]] = []
        try:
            ready.extend((_prepared(root / file.path, file.after), root / file.path) for file in todo)
            for temporary, target in ready:
                Path(temporary).replace(target)
        finally:
            for temporary, _ in ready:
                Path(temporary).unlink(missing_ok=True)
        return tuple(file.path for file in todo)


def _prepared(target: Path, data: bytes) -> str:
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            os.fchmod(out.fileno(), stat.S_IMODE(target.stat().st_mode))
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return name


def _read(root: Path, path: str) -> bytes | None:
    """Return the bytes of a regular file that no symbolic link leads to, else None."""
    at = root
    for part in path.split("/"):
        at = at / part
        if at.is_symlink():
            return None
    try:
        return at.read_bytes() if at.is_file() else None
    except OSError:
        return None


def plan_folder(folder: str | os.PathLike[str], change: ChangeReference, *, digest_in_tag: bool = False) -> FolderPlan:
    """Return what changing every image reference below a folder would write. Nothing is written.

    YAML, JSON, Kustomize files, Helm values and Dockerfiles are looked at. Symbolic links are not followed, so that
    nothing outside of the folder is read or written. Files that cannot be read are in `skipped`.

    Raises:
        InvalidInput: there is no such folder.
        MissingExtra: a YAML file is there, and the package ruamel.yaml is not installed.
    """
    root = Path(folder).absolute()
    if not root.is_dir() or root.is_symlink():
        raise InvalidInput.single("no folder", str(folder), "must be a folder, and no symbolic link")
    files: list[FilePlan] = []
    skipped: list[Skipped] = []
    for path in _paths(root, skipped):
        data = _read(root, path)
        if data is None:
            skipped.append(Skipped(path=path, reason="cannot be read"))
            continue
        if len(data) > _MOST_BYTES:
            skipped.append(Skipped(path=path, reason=f"has more than {_MOST_BYTES} bytes"))
            continue
        try:
            made = rewrite_text(path, data.decode("utf-8"), change, digest_in_tag=digest_in_tag)
        except UnicodeDecodeError:
            skipped.append(Skipped(path=path, reason="is not UTF-8"))
            continue
        except InvalidInput as fault:
            reason = "; ".join(str(p) for p in fault.problems) or str(fault)
            skipped.append(Skipped(path=path, reason=reason))
            continue
        if made.changes or made.refused:
            files.append(_file(path, data, made))
    return FolderPlan(folder=str(root), files=tuple(files), skipped=tuple(skipped))


def _file(path: str, data: bytes, made: Rewritten) -> FilePlan:
    return FilePlan(
        path=path, sha256=hashlib.sha256(data).hexdigest(), before=data, after=made.after.encode("utf-8"),
        changes=made.changes, refused=made.refused,
    )  # fmt: skip


def _paths(root: Path, skipped: list[Skipped]) -> Iterator[str]:
    for parent, folders, names in os.walk(root, followlinks=False):
        here = Path(parent)
        links = [n for n in folders if (here / n).is_symlink()]
        folders[:] = sorted(n for n in folders if n not in _PASSED and n not in links)
        skipped += _links(root, here, links)
        for name in sorted(names):
            if kind_of_file(name) is None:
                continue
            if (here / name).is_symlink():
                skipped += _links(root, here, [name])
            else:
                yield (here / name).relative_to(root).as_posix()


def _links(root: Path, here: Path, names: Sequence[str]) -> list[Skipped]:
    return [Skipped(path=(here / n).relative_to(root).as_posix(), reason="is a symbolic link") for n in sorted(names)]
