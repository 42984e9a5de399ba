"""Folders: planned, shown, then written; nothing outside, nothing that changed meanwhile."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ecrkit.deployments.files import plan_folder
from ecrkit.deployments.files.places import Place
from ecrkit.errors import InvalidInput, PlanOutdated

POD = "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: a/b:1}]}  # c\n"


def mirror(place: Place) -> str:
    return f"m.io/{place.reference}"


class TestFolder:
    """A plan reads; apply writes what the plan showed, or nothing."""

    def test_plan_shows_apply_writes(self, tmp_path: Path) -> None:
        (tmp_path / "k8s").mkdir()
        pod, docker = tmp_path / "k8s/pod.yaml", tmp_path / "Dockerfile"
        pod.write_text(POD)
        docker.write_bytes(b"FROM node:20")
        pod.chmod(0o640)
        (tmp_path / "notes.md").write_text(POD)
        plan = plan_folder(tmp_path, mirror)
        assert pod.read_text() == POD
        assert [f.path for f in plan.files] == ["Dockerfile", "k8s/pod.yaml"]
        assert (
            "-spec: {containers: [{image: a/b:1}]}  # c\n+spec: {containers: [{image: m.io/a/b:1}]}  # c" in plan.diff()
        )
        assert "+FROM m.io/node:20\n\\ No newline at end of file" in plan.diff()
        assert plan.explain() == "2 references in 2 files"
        assert plan.apply() == ("Dockerfile", "k8s/pod.yaml")
        assert (pod.read_text(), docker.read_bytes()) == (POD.replace("a/b", "m.io/a/b"), b"FROM m.io/node:20")
        assert stat.S_IMODE(pod.stat().st_mode) == 0o640
        assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["Dockerfile", "notes.md", "pod.yaml"]

    def test_a_file_that_changed_meanwhile_stops_everything(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text(POD)
        (tmp_path / "b.yaml").write_text(POD)
        plan = plan_folder(tmp_path, mirror)
        (tmp_path / "b.yaml").write_text(POD + "# mine\n")
        with pytest.raises(PlanOutdated) as caught:
            plan.apply()
        assert caught.value.changes == ("b.yaml",)
        assert (tmp_path / "a.yaml").read_text() == POD

    def test_links_are_not_followed(self, tmp_path: Path) -> None:
        outside, inside = tmp_path / "outside", tmp_path / "inside"
        outside.mkdir()
        inside.mkdir()
        (outside / "pod.yaml").write_text(POD)
        (inside / "link.yaml").symlink_to(outside / "pod.yaml")
        (inside / "folder").symlink_to(outside)
        plan = plan_folder(inside, mirror)
        assert (plan.files, plan.needed) == ((), False)
        assert {s.path: s.reason for s in plan.skipped} == {
            "folder": "is a symbolic link",
            "link.yaml": "is a symbolic link",
        }
        with pytest.raises(InvalidInput, match="no symbolic link"):
            plan_folder(inside / "folder", mirror)

    def test_a_file_replaced_by_a_link_is_not_written(self, tmp_path: Path) -> None:
        root, target = tmp_path / "root", tmp_path / "target.yaml"
        root.mkdir()
        (root / "a.yaml").write_text(POD)
        target.write_text(POD)
        plan = plan_folder(root, mirror)
        (root / "a.yaml").unlink()
        (root / "a.yaml").symlink_to(target)
        with pytest.raises(PlanOutdated):
            plan.apply()
        assert target.read_text() == POD

    def test_what_cannot_be_read_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_bytes(b"\xff\xfe")
        (tmp_path / "b.yaml").write_text("a: [")
        (tmp_path / "c.json").write_text("{")
        plan = plan_folder(tmp_path, mirror)
        assert [(s.path, s.reason.partition(":")[0]) for s in plan.skipped] == [
            ("a.yaml", "is not UTF-8"), ("b.yaml", "line 1, column 5"), ("c.json", "the text"),
        ]  # fmt: skip
