"""Replays: what a gate would say of a cluster's Pods, offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ecrkit.admission import AdmissionProfiles, SavedFindings, ServiceLimits, VerdictService, replay
from ecrkit.admission.__main__ import main
from ecrkit.errors import InvalidInput
from ecrkit.scanning import ScanReport
from tests.support.admission import CLEAN, DIRTY, HOST, PLACE, FakeRegistry, image, profile, report, service


def pod(reference: str, *, namespace: str = "pay", pulled: str | None = None, name: str = "web") -> dict[str, Any]:
    status = {"containerStatuses": [{"name": "app", "imageID": f"{HOST}/team/app@{pulled}"}]} if pulled else {}
    return {
        "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "app", "image": reference}]}, "status": status,
    }  # fmt: skip


def listed(*pods: Any) -> dict[str, Any]:
    return {"kind": "List", "items": list(pods)}


class TestReplay:
    def test_refusals_with_their_workloads(self) -> None:
        with service(FakeRegistry()) as asked:
            found = replay(listed(pod(image("clean")), pod(image("dirty"), name="bad"), pod("nginx")), asked)
        assert found.counts == {"fail": 2, "pass": 1}
        assert [e.container.workload.name for e in found.refused] == ["bad", "web"]
        assert not found.passed
        assert str(found).startswith("2 of 3 containers would be denied (2 fail, 1 pass)")
        assert json.loads(found.to_json())["passed"] is False
        assert "CVE-2026-1" in str(found)

    def test_the_running_digest_is_judged_and_not_what_the_tag_names_by_now(self) -> None:
        registry = FakeRegistry()
        with service(registry) as asked:
            found = replay(pod(image("clean"), pulled=DIRTY), asked)
        assert [e.decision.digest for e in found.refused] == [DIRTY]
        assert ("tag", "clean") not in registry.calls

    def test_audit_admits_and_a_replay_still_tells(self) -> None:
        with service(FakeRegistry(), mode="audit") as asked:
            assert len(replay(pod(image("dirty")), asked).refused) == 1

    def test_what_cannot_be_read_is_told(self) -> None:
        with service(FakeRegistry()) as asked:
            found = replay(listed(pod(image("clean")), {"kind": "Service"}), asked)
        assert not found.refused
        assert not found.passed
        assert found.problems[0].path == "$.items[1].kind"

    def test_large_clusters_fit_a_small_queue(self) -> None:
        registry = FakeRegistry()
        digests = ["sha256:" + f"{n:064x}" for n in range(100)]
        registry.reports |= {d: report(d) for d in digests}
        with service(registry, limits=ServiceLimits(workers=1, queue=2)) as asked:
            assert replay(listed(*(pod(image(d)) for d in digests)), asked).passed

    def test_saved_findings_call_nothing(self) -> None:
        saved = SavedFindings([report(CLEAN), report(DIRTY, ("CVE-1", "CRITICAL"))], tags={("team/app", "v1"): CLEAN})
        with VerdictService(profiles=AdmissionProfiles(profile()), registries={PLACE: saved}) as asked:
            found = replay(
                listed(pod(image("v1")), pod(image(DIRTY)), pod(image("v2")), pod(image(CLEAN, "other"))), asked
            )
        assert [e.decision.outcome for e in found.entries] == ["pass", "fail", "undetermined", "undetermined"]

    def test_a_saved_scan_without_a_digest(self) -> None:
        with pytest.raises(InvalidInput, match="names no digest"):
            SavedFindings([ScanReport.not_found(repository="a")])


class TestCommand:
    """`python -m ecrkit.admission --replay`: exit code 0 when nothing would be denied, 1 when something would; 3 when a condition
    that a profile names could not be asked, since what was not asked is no yes."""

    @pytest.mark.parametrize(
        ("digest", "condition", "code"),
        [(CLEAN, "", 0), (DIRTY, "", 1), (CLEAN, 'conditions=["signed"]', 3), (DIRTY, 'conditions=["signed"]', 1)],
    )
    def test_files(
        self, tmp_path: Path, digest: str, condition: str, code: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        findings = [{"name": "CVE-2026-1", "severity": "CRITICAL"}] if digest == DIRTY else []
        (tmp_path / "scan.json").write_text(json.dumps({
            "repositoryName": "team/app", "imageId": {"imageDigest": digest}, "imageScanStatus": {"status": "COMPLETE"},
            "imageScanFindings": {"imageScanCompletedAt": 1767225600.0, "findings": findings},
        }))  # fmt: skip
        (tmp_path / "pods.json").write_text(json.dumps(listed(pod(image("v1"), pulled=digest))))
        (tmp_path / "gate.toml").write_text(f'[[profiles]]\nname="all"\n{condition}\ngate={{limits={{CRITICAL=0}}}}\n')
        arguments = ["--config", str(tmp_path / "gate.toml"), "--replay", str(tmp_path / "pods.json"),
                     "--scans", str(tmp_path / "scan.json")]  # fmt: skip
        assert main(arguments) == 2
        assert main([*arguments, "--account", PLACE[0], "--region", PLACE[1]]) == code
        printed = capsys.readouterr()
        assert printed.out.startswith(f"{int(digest == DIRTY)} of 1 containers would be denied")
        assert ("not judged offline: signed" in printed.err) is bool(condition)
        assert ("- not judged: signed" in printed.out) is bool(condition)
        assert main([*arguments, "--account", PLACE[0], "--region", PLACE[1], "--json"]) == code
        told = json.loads(capsys.readouterr().out)
        assert told["passed"] is (code == 0)
        assert told["unjudged"] == (["signed"] if condition else [])
