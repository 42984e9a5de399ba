"""What an image must meet beside its gate, where the answer is made of several facts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ecrkit.admission import (
    BaseFresh,
    ConditionAnswer,
    EitherSigned,
    Provenance,
    SignedByEcr,
    admission_configuration,
    from_answer,
    load_base_report,
)
from ecrkit.admission.__main__ import main
from ecrkit.errors import InvalidInput, InvalidPolicy, Unavailable
from ecrkit.images.bases import BaseReport, BaseUse, Place, base_images
from ecrkit.images.inventory import Inventory
from ecrkit.images.manifest import Manifest
from ecrkit.local.images import artifact, filler, image, index
from ecrkit.records import RawManifest, Referrer, SigningStatus
from tests.support.admission import CLEAN, DIRTY, PLACE, FakeRegistry, service
from tests.support.admission import image as reference
from tests.support.admission import profile as profile_of
from tests.unit.admission.test_replay import listed, pod

SLSA = "https://slsa.dev/provenance/v1"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
ONE = image([filler(5_000, seed="one")], platform="linux/amd64")
TWO = image([filler(5_000, seed="two")], platform="linux/arm64")


def stored(*built: Any) -> dict[str, Manifest]:
    found: dict[str, Manifest] = {}
    for one in built:
        for member in (one, *one.children):
            found[member.digest] = Manifest.parse(member.manifest, media_type=member.media_type)
    return found


def referrer(
    kind: str, annotations: Mapping[str, str] | None = None, *, status: str = "ACTIVE", digest: str = DIRTY
) -> Referrer:
    return Referrer(
        digest=digest, media_type="m", size=1, artifact_type=kind, annotations=annotations or {}, status=status
    )


def provenance(
    manifests: Mapping[str, Manifest], referrers: Mapping[str, Iterable[Referrer]] | None = None
) -> Provenance:
    return Provenance(lambda _, d: (referrers or {}).get(d, ()), lambda _, d: manifests.get(d))


class TestProvenance:
    """An attestation of SLSA provenance is stored for the image, by buildx or as an artifact (BuildKit, attestation
    storage; in-toto attestation, bundle and envelope; cosign, BUNDLE_SPEC.md)."""

    @pytest.mark.parametrize(
        ("kind", "annotations", "outcome"),
        [
            (BUNDLE, {"dev.sigstore.bundle.predicateType": SLSA}, "pass"),
            (BUNDLE, {"dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v0.2"}, "pass"),
            (BUNDLE, {"dev.sigstore.bundle.predicateType": "https://spdx.dev/Document"}, "fail"),
            (BUNDLE, {"dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1"}, "fail"),
            (BUNDLE, {"dev.sigstore.bundle.content": "message-signature"}, "fail"),
            (BUNDLE, {}, "undetermined"),
            ("application/vnd.in-toto.provenance+dsse", {}, "pass"),
            ("application/vnd.in-toto.spdx+dsse", {"in-toto.io/predicate-type": "https://spdx.dev/Document"}, "fail"),
            ("application/vnd.in-toto+json", {"in-toto.io/predicate-type": SLSA}, "pass"),
            ("application/vnd.in-toto+json", {}, "undetermined"),
            ("application/vnd.cncf.notary.signature", {}, "fail"),
            ("application/spdx+json", {}, "fail"),
        ],
    )  # fmt: skip
    def test_artifacts(self, kind: str, annotations: dict[str, str], outcome: str) -> None:
        asked = provenance(stored(ONE), {ONE.digest: [referrer(kind, annotations)]})
        assert asked("team/app", ONE.digest).outcome == outcome

    def test_an_archived_artifact_does_not_count(self) -> None:
        kind = "application/vnd.in-toto.provenance+dsse"
        asked = provenance(stored(ONE), {ONE.digest: [referrer(kind, status="ARCHIVED")]})
        assert asked("team/app", ONE.digest).outcome == "fail"

    def test_an_artifact_whose_layer_tells(self) -> None:
        proof = artifact(ONE, "application/vnd.in-toto+json", content="{}", content_type="application/vnd.in-toto+json")
        text = json.loads(proof.manifest)
        text["layers"][0]["annotations"] = {"in-toto.io/predicate-type": SLSA}
        read = Manifest.parse(json.dumps(text))
        one = {ONE.digest: [referrer("application/vnd.in-toto+json", digest=read.digest)]}
        assert provenance({**stored(ONE), read.digest: read}, one)("team/app", ONE.digest).outcome == "pass"

    @pytest.mark.parametrize("layout", ["artifact", "image"])
    def test_buildx(self, layout: Any) -> None:
        built = index([ONE, TWO], attestations=layout)
        assert provenance(stored(built))("team/app", built.digest).outcome == "pass"

    def test_one_platform_without(self) -> None:
        built = index([ONE, TWO])
        whole = index([ONE, TWO], attestations="artifact")
        told = json.loads(whole.manifest)
        told["manifests"] = [m for m in told["manifests"]
                             if m.get("annotations", {}).get("vnd.docker.reference.digest") != TWO.digest]  # fmt: skip
        half = Manifest.parse(json.dumps(told))
        manifests = {**stored(whole), **stored(built), half.digest: half}
        assert provenance(manifests)("team/app", built.digest).outcome == "fail"
        assert provenance(manifests)("team/app", half.digest).outcome == "fail"
        other = {TWO.digest: [referrer("application/vnd.in-toto.provenance+dsse")]}
        assert provenance(manifests, other)("team/app", half.digest).outcome == "pass"

    def test_an_index_whose_own_attestation_says_nothing(self) -> None:
        built = index([ONE, TWO])
        silent = {built.digest: [referrer(BUNDLE)]}
        assert provenance(stored(built), silent)("team/app", built.digest).outcome == "undetermined"

    def test_an_attestation_without_layers(self) -> None:
        told = json.loads(artifact(ONE, "application/vnd.in-toto+json").manifest)
        empty = Manifest.parse(json.dumps(told | {"layers": []}))
        one = {ONE.digest: [referrer("application/vnd.in-toto+json", digest=empty.digest)]}
        assert provenance({**stored(ONE), empty.digest: empty}, one)("team/app", ONE.digest).outcome == "undetermined"

    def test_what_was_not_read(self) -> None:
        built = index([ONE], attestations="image")
        assert provenance({})("team/app", ONE.digest).outcome == "undetermined"
        only = {built.digest: Manifest.parse(built.manifest)}
        assert provenance(only)("team/app", built.digest).outcome == "undetermined"


class TestSignedByEcr:
    """COMPLETE is a yes, FAILED a no, and everything else is not known (ECR API reference, ImageSigningStatus)."""

    @pytest.mark.parametrize(
        ("statuses", "outcome"),
        [
            (["COMPLETE"], "pass"),
            (["COMPLETE", "COMPLETE"], "pass"),
            (["COMPLETE", "FAILED"], "fail"),
            (["IN_PROGRESS", "FAILED"], "fail"),
            (["COMPLETE", "IN_PROGRESS"], "undetermined"),
            (["LATER"], "undetermined"),
            ([], "undetermined"),
        ],
    )
    def test_statuses(self, statuses: list[str], outcome: str) -> None:
        told = [SigningStatus(profile_arn="p", status=s) for s in statuses]
        assert SignedByEcr(lambda _, __: told)("team/app", CLEAN).outcome == outcome

    def test_the_reason_of_a_failure(self) -> None:
        told = [SigningStatus(profile_arn="p", status="FAILED", failure_code="AccessDenied", failure_reason="no role")]
        assert SignedByEcr(lambda _, __: told)("team/app", CLEAN).text == "signing failed: no role"

    @pytest.mark.parametrize(
        ("first", "second", "outcome"),
        [
            (True, False, "pass"), (False, True, "pass"), (None, True, "pass"), (False, False, "fail"),
            (False, None, "undetermined"), (None, False, "undetermined"),
        ],
    )  # fmt: skip
    def test_either(self, first: bool | None, second: bool | None, outcome: str) -> None:
        either = EitherSigned(from_answer("a", lambda _, __: first), from_answer("b", lambda _, __: second))
        assert either("team/app", CLEAN).outcome == outcome

    def test_either_when_one_cannot_be_asked(self) -> None:
        def down(repository: str, digest: str) -> bool:
            raise Unavailable("down", operation="x", code="y")

        broken, yes, no = (from_answer("a", f) for f in (down, lambda _, __: True, lambda _, __: False))
        assert EitherSigned(broken, yes)("team/app", CLEAN).outcome == "pass"
        assert EitherSigned(broken, no)("team/app", CLEAN).outcome == "undetermined"


def use(digest: str, status: Any, repository: str = "team/app") -> BaseUse:
    return BaseUse(image=Place(repository, digest), status=status, reason="because")


class TestBaseFresh:
    """The base image is what its tag names now; what the report does not know is not known to be fresh."""

    @pytest.mark.parametrize(
        ("status", "outcome"),
        [("current", "pass"), ("moved", "fail"), ("gone", "fail"), ("untagged", "fail"), ("unknown", "undetermined")],
    )
    def test_statuses(self, status: str, outcome: str) -> None:
        answer = BaseFresh(BaseReport(uses=(use(CLEAN, status),)))("team/app", CLEAN)
        assert (answer.outcome, answer.text) == (outcome, f"its base is {status}: because")

    def test_another_image_or_repository(self) -> None:
        fresh = BaseFresh(BaseReport(uses=(use(CLEAN, "current"),)))
        assert fresh("team/app", DIRTY).outcome == "undetermined"
        assert fresh("team/other", CLEAN).outcome == "undetermined"

    def test_an_image_that_the_report_did_not_read(self) -> None:
        report = BaseReport(uses=(use(CLEAN, "current"),), unread=(Place("team/app", CLEAN),))
        assert BaseFresh(report)("team/app", CLEAN).outcome == "undetermined"

    def test_every_platform_counts(self) -> None:
        built = index([ONE, TWO])
        manifests = stored(built)

        def answer(*uses: BaseUse) -> ConditionAnswer:
            return BaseFresh(BaseReport(uses=uses), lambda _, d: manifests.get(d))("team/app", built.digest)

        assert answer(use(ONE.digest, "current"), use(TWO.digest, "current")).outcome == "pass"
        assert answer(use(ONE.digest, "current"), use(TWO.digest, "moved")).outcome == "fail"
        assert answer(use(ONE.digest, "current")).outcome == "undetermined"
        assert BaseFresh(BaseReport(), lambda _, __: None)("team/app", built.digest).outcome == "undetermined"

    def test_a_report_that_was_saved(self, tmp_path: Path) -> None:
        low = filler(5_000, seed="base")

        def inventory(name: str, tag: str, built: Any) -> Inventory:
            detail = {"imageDigest": built.digest, "imageTags": [tag], "imagePushedAt": 0,
                      "imageManifestMediaType": built.media_type, "repositoryName": name}  # fmt: skip
            manifest = RawManifest(digest=built.digest, media_type=built.media_type, text=built.manifest)
            return Inventory.from_api([detail], manifests=[manifest])

        app = image([low, filler(5_000)])
        report = base_images([inventory("base/python", "3", image([low])), inventory("team/app", "v1", app)])
        (tmp_path / "bases.json").write_text(report.to_json())
        again = load_base_report(tmp_path / "bases.json")
        assert BaseFresh(again)("team/app", app.digest) == BaseFresh(report)("team/app", app.digest)
        assert BaseFresh(again)("team/app", app.digest).outcome == "pass"

    @pytest.mark.parametrize(
        ("text", "path"),
        [
            ("[", "$"),
            ("[]", "$"),
            ("{}", "$.uses"),
            ('{"uses": [{"image": {"repository": "a", "digest": "d"}}]}', "$.uses[0].status"),
            ('{"uses": [{"image": {"repository": "a", "digest": "d"}, "status": "fine"}]}', "$.uses[0].status"),
            ('{"uses": [{"image": {"repository": "a"}, "status": "current"}]}', "$.uses[0].image.digest"),
            ('{"uses": [{"status": "current"}]}', "$.uses[0].image.repository"),
            ('{"uses": [], "unread": [{}]}', "$.unread[0].repository"),
        ],
    )
    def test_faulty_files(self, tmp_path: Path, text: str, path: str) -> None:
        (tmp_path / "bases.json").write_text(text)
        with pytest.raises(InvalidPolicy) as fault:
            load_base_report(tmp_path / "bases.json")
        assert path in [p.path for p in fault.value.problems]

    def test_in_a_configuration_and_a_replay(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        gate = '{name}[[profiles]]\nname="all"\nconditions=["base-fresh"]\ngate={{limits={{CRITICAL=0}}}}\n'
        (tmp_path / "bases.json").write_text(BaseReport(uses=(use(CLEAN, "moved"),)).to_json())
        made = admission_configuration(gate.format(name='bases="bases.json"\n'), folder=tmp_path)
        assert made.bases is not None
        with pytest.raises(InvalidPolicy, match="cannot be read"):
            admission_configuration(gate.format(name='bases="none.json"\n'), folder=tmp_path)
        (tmp_path / "gate.toml").write_text(gate.format(name='bases="bases.json"\n'))
        (tmp_path / "scan.json").write_text(json.dumps({
            "repositoryName": "team/app", "imageId": {"imageDigest": CLEAN}, "imageScanStatus": {"status": "COMPLETE"},
            "imageScanFindings": {"imageScanCompletedAt": 1767225600.0, "findings": []},
        }))  # fmt: skip
        (tmp_path / "pods.json").write_text(json.dumps(listed(pod(reference("v1"), pulled=CLEAN))))
        arguments = ["--config", str(tmp_path / "gate.toml"), "--replay", str(tmp_path / "pods.json"), "--scans",
                     str(tmp_path / "scan.json"), "--account", PLACE[0], "--region", PLACE[1]]  # fmt: skip
        assert main(arguments) == 1
        assert "its base is moved" in capsys.readouterr().out
        (tmp_path / "bases.json").write_text(BaseReport(uses=(use(CLEAN, "current"),)).to_json())
        assert main(arguments) == 0


class TestOfTheRegistryThatHasTheImage:
    """A digest may be stored in several registries; what one says is not said of the copy that would be pulled."""

    def test_each_asks_its_own(self) -> None:
        west = (PLACE[0], "eu-west-1")
        registry = FakeRegistry()
        with service(
            registry, profile_of(conditions=["signed"]),
            registry_conditions={PLACE: [from_answer("signed", lambda _, __: True)]},
        ) as asked:  # fmt: skip
            assert asked.decide(reference(CLEAN)).allowed
        both = {PLACE: [from_answer("signed", lambda _, __: True)], west: [from_answer("signed", lambda _, __: False)]}
        made: dict[str, Any] = {"registries": {PLACE: registry, west: registry}, "registry_conditions": both}
        with two(**made) as asked:
            assert asked.decide(reference(CLEAN)).allowed
            assert asked.decide(reference(CLEAN).replace("us-east-1", "eu-west-1")).outcome == "fail"
        with pytest.raises(InvalidInput, match="signed"):
            two(**(made | {"registry_conditions": {PLACE: both[PLACE]}}))


def two(**more: Any) -> Any:
    from ecrkit.admission import AdmissionProfiles, VerdictService

    profiles = AdmissionProfiles(profile_of(conditions=["signed"]))
    return VerdictService(profiles=profiles, deadline=10.0, **more)
