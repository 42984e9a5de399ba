"""References and updater settings checked against what exists; unknown is an answer, and no gate passes on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecrkit.errors import Denied, GateRefused
from ecrkit.promotion.gitops import pin_folder, pin_text, region_text
from ecrkit.promotion.image_updater_check import check_updater
from ecrkit.promotion.reference_check import check_references
from ecrkit.refs import ImageRef

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
DIGEST = "sha256:" + "d" * 64
LIST = "argocd-image-updater.argoproj.io/image-list"


def denied(ref: ImageRef) -> None:
    raise Denied(f"no {ref}", operation="DescribeImages")


class TestReferences:
    """A reference exists or not; scanned and replicated have a third answer."""

    def test_answers(self) -> None:
        def digest_of(ref: ImageRef) -> str | None:
            return ref.digest or {"v1": DIGEST}.get(str(ref.tag))

        asked: list[str] = []
        check = check_references(
            [f"{HOST}/app-a:v1", f"{HOST}/app-a:v1", f"{HOST}/app-a:v2", f"{HOST}/app-a@{DIGEST}"], digest_of,
            scanned=lambda ref: asked.append(str(ref)) or True, replicated=denied,
        )  # fmt: skip
        assert [(r.exists, r.scanned, r.replicated) for r in check.references] == [
            ("yes", "yes", "unknown"), ("no", "unknown", "unknown"), ("yes", "yes", "unknown"),
        ]  # fmt: skip
        assert asked == [f"{HOST}/app-a@{DIGEST}"] * 2
        assert "no 123456789012" in check.references[0].notes[0]
        assert (check.ok, check.exit_code) == (False, 1)
        with pytest.raises(GateRefused):
            check.require()

    def test_unknown_and_nothing_are_no_pass(self) -> None:
        assert check_references([], lambda ref: DIGEST).ok is False
        assert check_references([f"{HOST}/app-a:v1"], denied).exit_code == 3
        assert check_references(["node:20"], lambda ref: DIGEST).ok is False
        good = check_references([f"{HOST}/app-a:v1"], lambda ref: DIGEST)
        assert (good.ok, good.exit_code, good.require() is good) == (True, 0, True)


class TestPinning:
    """Private ECR only; a tag that is not there is refused, and each is resolved once."""

    def test_pins_what_is_there(self, tmp_path: Path) -> None:
        text = f"FROM node:20\nFROM {HOST}/app-a:v1\nFROM {HOST}/app-a:v2\nFROM {HOST}/app-a:v1\nFROM {HOST}/app-b@{DIGEST}\nFROM {HOST}/app-c\n"
        (tmp_path / "Dockerfile").write_text(text)
        asked: list[str] = []

        def digest_of(ref: ImageRef) -> str | None:
            asked.append(ref.uri.removeprefix(HOST + "/"))
            return None if ref.tag == "v2" else DIGEST

        plan = pin_folder(tmp_path, digest_of)
        assert asked == ["app-a:v1", "app-a:v2", "app-c:latest"]
        assert plan.files[0].after.decode() == text.replace("a:v1", f"a@{DIGEST}").replace("-c\n", f"-c@{DIGEST}\n")
        assert [(r.line, r.reason) for _, r in plan.refused] == [(3, "there is no such image")]

    def test_keeps_the_tag_when_asked(self) -> None:
        assert (
            pin_text("Dockerfile", f"FROM {HOST}/app-a:v1", lambda ref: DIGEST, keep_tag=True).after
            == f"FROM {HOST}/app-a:v1@{DIGEST}"
        )

    def test_regions(self) -> None:
        fips = "FROM 123456789012.dkr.ecr-fips.us-east-1.amazonaws.com/app-a:1"
        assert region_text("Dockerfile", fips, "us-west-2").after == fips.replace("us-east-1", "us-west-2")
        assert region_text("Dockerfile", f"FROM {HOST}/app-a:1", "cn-north-1").after.endswith(
            "cn-north-1.amazonaws.com.cn/app-a:1"
        )
        assert region_text("Dockerfile", "FROM node:20", "us-west-2").changes == ()


class TestImageUpdater:
    """Annotations of 0.x and the resource of 1.x; constraints against the tags that exist."""

    TAGS = ("1.4.0", "1.10.0", "1.11.0-rc.1", "2.0.0", "latest", "v1.12.0-dev")

    def ask(self, spec: str, **settings: str) -> tuple[str, str | None, int]:
        notes = {LIST: f"x={HOST}/app-a{spec}"} | {
            f"argocd-image-updater.argoproj.io/x.{k}": v for k, v in settings.items()
        }
        (answer,) = check_updater(
            {"metadata": {"annotations": notes}}, lambda ref: self.TAGS, running={f"{HOST}/app-a": "2.0.0"}
        )
        return answer.state, answer.tag, answer.fit

    def test_strategies(self) -> None:
        assert self.ask(":^1.4") == ("moves", "1.10.0", 2)
        assert self.ask("") == ("newest", "2.0.0", 5)
        assert self.ask(":*") == ("newest", "2.0.0", 3)
        assert self.ask(":^3") == ("no tag fits", None, 0)
        assert self.ask(":latest", **{"update-strategy": "digest"}) == ("moves", "latest", 1)
        assert self.ask("", **{"update-strategy": "alphabetical", "allow-tags": "regexp:^1"}) == ("moves", "1.4.0", 3)
        assert self.ask("", **{"update-strategy": "newest-build", "ignore-tags": "*-*, latest"}) == (
            "not told",
            None,
            3,
        )

    @pytest.mark.parametrize(
        ("spec", "settings"),
        [(":latest", {}), ("", {"update-strategy": "newst"}), ("", {"update-strategy": "digest"}), ("", {"allow-tags": "regexp:("}), ("", {"allow-tags": "1.*"}), ("", {"ignore-tags": "[a-"}), ("", {"ignore-tags": "a\\"})],
    )  # fmt: skip
    def test_faults_are_said(self, spec: str, settings: dict[str, str]) -> None:
        assert self.ask(spec, **settings)[0] == "cannot be read"

    def test_without_a_constraint_a_pre_release_is_chosen(self) -> None:
        notes = {LIST: f"x={HOST}/app-a"}
        (answer,) = check_updater({"metadata": {"annotations": notes}}, lambda ref: ["1.0.0", "1.1.0-rc.1"])
        assert answer.tag == "1.1.0-rc.1"

    @pytest.mark.parametrize(
        ("pattern", "tag"),
        [("2.*", "1.10.0"), ("[2-9].*", "1.10.0"), ("[^1].*", "1.10.0"), ("?.?.0", "1.10.0"), (r"2\.0.0", "1.10.0"),
         ("[9-2]*", "2.0.0"), ("[xy]*", "2.0.0"), ("2.+", "2.0.0")],
    )  # fmt: skip
    def test_ignored_as_go_matches_file_names(self, pattern: str, tag: str) -> None:
        assert self.ask(":*", **{"ignore-tags": pattern})[1] == tag

    def test_settings_of_the_whole_application(self) -> None:
        """An image's own annotation counts before that of the application; '/' in an alias is written '_'."""
        prefix = "argocd-image-updater.argoproj.io/"
        notes = {
            LIST: f"{HOST}/app-a:*, team/b={HOST}/app-b:*, c={HOST}/app-c:*",
            f"{prefix}ignore-tags": "2.*",
            f"{prefix}team_b.ignore-tags": "1.10.*",
            f"{prefix}allow-tags": "regexp:^[12]",
            f"{prefix}c.allow-tags": "regexp:^1[.]4",
        }
        found = [a.tag for a in check_updater({"metadata": {"annotations": notes}}, lambda ref: self.TAGS)]
        assert found == ["1.10.0", "2.0.0", "1.4.0"]

    def test_the_resource_of_1x(self) -> None:
        document = {
            "kind": "ImageUpdater",
            "spec": {
                "commonUpdateSettings": {"updateStrategy": "semver", "ignoreTags": ["1.10.*"]},
                "applicationRefs": [{"namePattern": "*", "images": [{"alias": "a", "imageName": f"{HOST}/app-a:~1"}]}],
            },
        }
        (answer,) = check_updater(document, lambda ref: self.TAGS)
        assert (answer.tag, answer.image.path) == ("1.4.0", "$.spec.applicationRefs[0].images[0]")

    def test_third_answers(self) -> None:
        notes = {LIST: f"{HOST}/app-a, docker.io/library/node:^20"}
        states = [a.state for a in check_updater({"metadata": {"annotations": notes}}, denied)]
        assert states == ["unknown", "elsewhere"]
        assert (
            check_updater({"metadata": {"annotations": {LIST: f"{HOST}/app-a"}}}, lambda ref: None)[0].state
            == "no tag fits"
        )
        assert check_updater({}, denied) == ()
