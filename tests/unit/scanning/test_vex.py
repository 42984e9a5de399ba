"""VEX: OpenVEX, CSAF and CycloneDX to the same statements; matched by package URL; unmatched ones reported."""

from __future__ import annotations

from typing import Any

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.scanning import Finding, Gate, ScanReport, Verdict, VexStatements, count_limit
from tests.unit.scanning.build import DIGEST, NOW, OTHER, finding, package, report

CURL = package("curl", "7.88.1", release="10", arch="AMD64", manager="OS")
ZLIB = package("zlib", "1.3", manager="OS")
CURL_PURL = "pkg:deb/debian/curl@7.88.1-10?arch=amd64&distro=debian-12"
IMAGE_PURL = "pkg:oci/app?repository_url=123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app"
WHY = "vulnerable_code_not_in_execute_path"


def openvex(*statements: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.com/vex", "author": "A", "version": 1,
        "timestamp": "2026-11-01T00:00:00Z", "statements": list(statements), **more,
    }  # fmt: skip


def says(status: str = "not_affected", *products: Any, name: str = "CVE-2026-1", **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"vulnerability": {"name": name}, "status": status, "products": [
        {"@id": p} if isinstance(p, str) else p for p in products or (CURL_PURL,)
    ]}  # fmt: skip
    if status == "not_affected":
        body["justification"] = WHY
    return {**body, **more}


def judged(document: dict[str, Any] | VexStatements, *findings: Finding, **more: Any) -> Verdict:
    statements = document if isinstance(document, VexStatements) else VexStatements.parse(document)
    found = report(*findings or (finding("CVE-2026-1", "HIGH", CURL),), **more)
    return Gate(count_limit("HIGH", 0)).judge(found, now=NOW, vex=statements)


class TestStatus:
    """not_affected and fixed cover a finding; affected and under_investigation do not."""

    @pytest.mark.parametrize(
        ("status", "outcome"),
        [("not_affected", "pass"), ("fixed", "pass"), ("affected", "fail"), ("under_investigation", "fail")],
    )
    def test_each(self, status: str, outcome: str) -> None:
        verdict = judged(openvex(says(status)))
        assert verdict.outcome == outcome
        assert [s.kinds for s in verdict.suppressed] == [("vex",)] * (outcome == "pass")

    def test_the_reason_is_kept(self) -> None:
        assert WHY in judged(openvex(says())).suppressed[0].by[0]

    def test_the_latest_statement_decides(self) -> None:
        early, late = says(timestamp="2026-11-02T00:00:00Z"), says("affected", timestamp="2026-11-03T00:00:00Z")
        for order in ((early, late), (late, early)):
            verdict = judged(openvex(*order))
            assert verdict.outcome == "fail"
            assert verdict.vex is not None and [s.status for s in verdict.vex.overruled] == ["not_affected"]
        assert judged(openvex(says("affected", timestamp="2026-11-01T12:00:00Z"), early)).outcome == "pass"

    def test_of_equally_late_ones_affected_decides(self) -> None:
        assert judged(openvex(says(), says("affected"))).outcome == "fail"

    def test_aliases_on_both_sides(self) -> None:
        aliased = says()
        aliased["vulnerability"] = {"name": "CVE-X", "aliases": ["CVE-2026-1"]}
        assert judged(openvex(aliased)).outcome == "pass"
        assert (
            judged(openvex(says(name="GHSA-9")), finding("CVE-5", "HIGH", CURL, related=("GHSA-9",))).outcome == "pass"
        )


class TestProducts:
    """A product is the package, or the image with the packages in it; a qualifier not given matches every value."""

    @pytest.mark.parametrize(
        ("product", "outcome"),
        [
            (CURL_PURL, "pass"), ("pkg:deb/debian/curl", "pass"), ("pkg:deb/debian/curl?distro=debian-12", "pass"),
            ("pkg:deb/debian/curl?distro=debian-11", "fail"), ("pkg:deb/debian/curl@7.88.1-9", "fail"), ("pkg:deb/ubuntu/curl", "fail"),
            (IMAGE_PURL, "pass"), ("pkg:oci/app", "pass"), ("pkg:oci/other", "fail"), ("pkg:oci/app?repository_url=ghcr.io/x/app", "fail"),
            (f"pkg:oci/app@{DIGEST.replace(':', '%3A')}", "pass"), (f"pkg:oci/app@{OTHER.replace(':', '%3A')}", "fail"),
            ("pkg:oci/app?tag=v1", "pass"), ("pkg:oci/app?tag=v2", "fail"), ("pkg:oci/app?arch=amd64", "pass"), ("pkg:oci/app?arch=arm64", "fail"),
            ("pkg:docker/team/app@v1", "pass"), ("pkg:docker/team/app@v2", "fail"), ("pkg:docker/other/app@v1", "fail"),
            ({"@id": IMAGE_PURL, "subcomponents": [{"@id": CURL_PURL}]}, "pass"),
            ({"@id": IMAGE_PURL, "subcomponents": [{"@id": "pkg:deb/debian/zlib"}]}, "fail"),
            ({"@id": "pkg:oci/other", "subcomponents": [{"@id": CURL_PURL}]}, "fail"),
            ({"@id": "x", "hashes": {"sha-256": DIGEST[7:]}}, "pass"), ({"@id": "x", "hashes": {"sha-256": OTHER[7:]}}, "fail"),
            ({"@id": "x", "identifiers": {"purl": "pkg:deb/debian/curl"}}, "pass"),
        ],
    )  # fmt: skip
    def test_each(self, product: Any, outcome: str) -> None:
        assert judged(openvex(says("not_affected", product)), tags=("v1",), architecture="amd64").outcome == outcome

    def test_every_package_must_be_covered(self) -> None:
        both = finding("CVE-2026-1", "HIGH", CURL, ZLIB)
        assert judged(openvex(says()), both).outcome == "fail"
        assert judged(openvex(says("not_affected", CURL_PURL, "pkg:deb/debian/zlib")), both).outcome == "pass"
        assert judged(openvex(says("not_affected", IMAGE_PURL)), both).outcome == "pass"

    def test_without_a_platform_a_system_package_has_no_package_url(self) -> None:
        assert judged(openvex(says()), os=None).outcome == "fail"

    @pytest.mark.parametrize(
        ("product", "outcome"),
        [
            (f"pkg:oci/app@{DIGEST.replace(':', '%3A')}", "pass"),
            ("pkg:oci/app", "fail"),
            ("pkg:oci/app@v1", "fail"),
            ("pkg:oci/app?tag=v1", "fail"),
        ],
    )
    def test_an_image_of_unknown_repository_is_known_by_its_digest_only(self, product: str, outcome: str) -> None:
        assert judged(openvex(says("not_affected", product)), repository=None, tags=("v1",)).outcome == outcome

    def test_a_basic_finding_can_only_be_covered_through_the_image(self) -> None:
        bare = finding("CVE-2026-1", "HIGH", package("curl", "7.88.1"))
        assert judged(openvex(says("not_affected", "pkg:deb/debian/curl")), bare).outcome == "fail"
        assert judged(openvex(says("not_affected", IMAGE_PURL)), bare).outcome == "pass"


class TestReport:
    """A statement that matched nothing is told, and so is one that could not be used."""

    def test_unmatched_and_unusable(self) -> None:
        verdict = judged(
            openvex(
                says(),
                says(name="CVE-GONE"),
                says("not_affected", "pkg:npm/x"),
                says("not_affected", {"@id": "no purl"}),
            )
        )
        assert verdict.vex is not None
        assert [(s.ids, n) for s, n in verdict.vex.applied] == [(("CVE-2026-1",), 1)]
        assert [s.path for s in verdict.vex.unmatched] == ["$.statements[1]", "$.statements[2]"]
        assert verdict.vex.not_used == (("https://example.com/vex $.statements[3]", "names no product"),)


class TestOpenVex:
    """OpenVEX 0.2: the optional members are optional, the required ones are checked, all problems at once."""

    def test_a_document_without_role_is_valid(self) -> None:
        assert len(VexStatements.parse(openvex(says()))) == 1

    def test_version_0_0(self) -> None:
        old = openvex({"vulnerability": "CVE-2026-1", "products": ["pkg:deb/debian/curl"], "status": "fixed"})
        old["@context"] = "https://openvex.dev/ns"
        assert judged(old).outcome == "pass"

    def test_faults(self) -> None:
        bad = openvex(
            {"status": "fine", "products": [{"@id": "pkg:bad"}]},
            {**says(), "justification": None},
            says(justification="because"),
            says("not_affected", {"@id": IMAGE_PURL, "subcomponents": [{"@id": "curl"}]}),
            says(timestamp="now"),
        )
        with pytest.raises(InvalidInput) as caught:
            VexStatements.parse(bad)
        assert [p.path for p in caught.value.problems] == [
            "$.statements[0].vulnerability.name", "$.statements[0].status", "$.statements[0].products[0].@id",
            "$.statements[1]", "$.statements[2].justification", "$.statements[3].products[0].subcomponents",
            "$.statements[4].timestamp",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "document", [{}, {"@context": "https://example.com"}, {"document": {}}, '{"bomFormat": "SPDX"}', "x = 1"]
    )
    def test_no_vex_document(self, document: Any) -> None:
        with pytest.raises(InvalidInput, match="neither OpenVEX"):
            VexStatements.parse(document)


def csaf(status: dict[str, list[str]], **more: Any) -> dict[str, Any]:
    return {
        "document": {
            "category": "csaf_vex", "csaf_version": "2.0", "publisher": {"name": "Vendor"},
            "tracking": {"id": "V-1", "current_release_date": "2026-11-01T00:00:00Z"},
        },
        "product_tree": {
            "branches": [{"category": "vendor", "name": "d", "branches": [
                {"category": "product_version", "name": "curl", "product": {
                    "product_id": "CURL", "name": "curl", "product_identification_helper": {"purl": "pkg:deb/debian/curl"}}},
            ]}],
            "full_product_names": [
                {"product_id": "IMAGE", "name": "app", "product_identification_helper": {
                    "hashes": [{"filename": "x", "file_hashes": [{"algorithm": "sha256", "value": DIGEST[7:]}]}]}},
                {"product_id": "DEBIAN", "name": "Debian 12"},
            ],
            "relationships": [
                {"category": "default_component_of", "product_reference": "CURL", "relates_to_product_reference": "IMAGE",
                 "full_product_name": {"product_id": "CURL-IN-IMAGE", "name": "x"}},
                {"category": "default_component_of", "product_reference": "CURL", "relates_to_product_reference": "DEBIAN",
                 "full_product_name": {"product_id": "CURL-IN-DEBIAN", "name": "x"}},
                {"category": "default_component_of", "product_reference": "DEBIAN", "relates_to_product_reference": "IMAGE",
                 "full_product_name": {"product_id": "NAMELESS-IN-IMAGE", "name": "x"}},
            ],
        },
        "vulnerabilities": [{"cve": "CVE-2026-1", "product_status": status, **more}],
    }  # fmt: skip


class TestCsaf:
    """CSAF 2.0 VEX: products through branches and relationships; a justification per product in flags."""

    @pytest.mark.parametrize(
        ("status", "product", "outcome"),
        [
            ("known_not_affected", "CURL", "pass"), ("fixed", "CURL", "pass"), ("first_fixed", "CURL", "pass"), ("recommended", "CURL", "pass"),
            ("known_affected", "CURL", "fail"), ("under_investigation", "CURL", "fail"), ("known_not_affected", "IMAGE", "pass"),
            ("known_not_affected", "CURL-IN-IMAGE", "pass"), ("known_not_affected", "CURL-IN-DEBIAN", "pass"),
            ("known_not_affected", "DEBIAN", "fail"), ("known_not_affected", "NAMELESS-IN-IMAGE", "fail"),
        ],
    )  # fmt: skip
    def test_each(self, status: str, product: str, outcome: str) -> None:
        assert judged(csaf({status: [product]})).outcome == outcome

    def test_a_component_of_the_image_is_no_other_package(self) -> None:
        assert judged(csaf({"fixed": ["CURL-IN-IMAGE"]}), finding("CVE-2026-1", "HIGH", ZLIB)).outcome == "fail"

    def test_flags_and_threats(self) -> None:
        document = csaf(
            {"known_not_affected": ["CURL"]}, flags=[{"label": "component_not_present", "product_ids": ["CURL"]}],
            threats=[{"category": "impact", "details": "no", "product_ids": ["CURL"]}], ids=[{"system_name": "g", "text": "GHSA-1"}],
        )  # fmt: skip
        found = VexStatements.parse(document).entries[0]
        assert (found.justification, found.text, found.author, found.document) == (
            "component_not_present",
            "no",
            "Vendor",
            "V-1",
        )
        assert found.ids == ("CVE-2026-1", "GHSA-1")

    def test_a_product_without_identification_is_told(self) -> None:
        assert "no package URL" in VexStatements.parse(csaf({"fixed": ["DEBIAN"]})).not_used[0][1]

    def test_faults(self) -> None:
        bad = csaf({"fixed": ["NOWHERE"], "mended": ["CURL"]})
        bad["product_tree"]["relationships"].append(
            {"product_reference": "X", "full_product_name": {"product_id": "Y"}}
        )
        bad["vulnerabilities"].append({"product_status": {}})
        with pytest.raises(InvalidInput) as caught:
            VexStatements.parse(bad)
        assert len(caught.value.problems) == 4


def cyclonedx(state: str | None, ref: str = "curl", **more: Any) -> dict[str, Any]:
    analysis = (
        {} if state is None else {"analysis": {"state": state, "justification": "code_not_reachable", "detail": "d"}}
    )
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
        "metadata": {"timestamp": "2026-11-01T00:00:00Z", "component": {
            "type": "container", "name": "app", "bom-ref": "image", "purl": IMAGE_PURL}},
        "components": [{"type": "library", "name": "curl", "bom-ref": "curl", "purl": CURL_PURL}, {"type": "library", "name": "bare", "bom-ref": "bare"}],
        "vulnerabilities": [{"id": "CVE-2026-1", "affects": [{"ref": ref, **more}], **analysis}],
    }  # fmt: skip


class TestCycloneDx:
    """CycloneDX VEX: states to statuses, references to components, to the document's own component, or by BOM-Link."""

    @pytest.mark.parametrize(
        ("state", "outcome"),
        [
            ("not_affected", "pass"), ("false_positive", "pass"), ("resolved", "pass"), ("resolved_with_pedigree", "pass"),
            ("exploitable", "fail"), ("in_triage", "fail"), (None, "fail"),
        ],
    )  # fmt: skip
    def test_states(self, state: str | None, outcome: str) -> None:
        assert judged(cyclonedx(state)).outcome == outcome

    @pytest.mark.parametrize(
        ("ref", "outcome"),
        [
            ("image", "pass"),
            ("pkg:deb/debian/curl", "pass"),
            ("urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#curl", "pass"),
            ("bare", "fail"),
            ("nowhere", "fail"),
        ],
    )
    def test_references(self, ref: str, outcome: str) -> None:
        document = cyclonedx("not_affected", ref)
        assert judged(document).outcome == outcome
        assert bool(VexStatements.parse(document).not_used) is (outcome == "fail")

    def test_ranges_are_told_and_not_guessed(self) -> None:
        document = cyclonedx("not_affected", versions=[{"range": "vers:deb/<8", "status": "unaffected"}])
        assert judged(document).outcome == "fail"
        assert "ranges" in VexStatements.parse(document).not_used[0][1]

    def test_an_unknown_state_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match=r"analysis\.state"):
            VexStatements.parse(cyclonedx("fine"))

    def test_the_document_is_valid_for_an_independent_parser(self) -> None:
        import json

        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator

        fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(cyclonedx("not_affected")))
        assert fault is None


class TestTogether:
    """Exemptions and statements together may cover a finding, one package each; several files are one set."""

    def test_one_package_each(self) -> None:
        from ecrkit.scanning import Exemption, Exemptions

        both = report(finding("CVE-2026-1", "HIGH", CURL, ZLIB))
        exemption = Exemption(ids=("CVE-2026-1",), packages=("zlib",), reason="r")
        verdict = Gate(count_limit("HIGH", 0)).judge(
            both, now=NOW, vex=VexStatements.parse(openvex(says())), exemptions=Exemptions([exemption])
        )
        assert (verdict.outcome, verdict.suppressed[0].kinds) == ("pass", ("exemption", "vex"))

    def test_files(self, tmp_path: Any) -> None:
        import json

        (tmp_path / "a.json").write_text(json.dumps(openvex(says())))
        (tmp_path / "b.json").write_text(json.dumps(csaf({"fixed": ["CURL"]})))
        found = VexStatements.load(tmp_path / "a.json", tmp_path / "b.json")
        assert [s.document for s in found] == ["a.json", "b.json"]

    def test_an_empty_set_changes_nothing(self) -> None:
        assert judged(VexStatements(), finding("CVE-2026-1", "HIGH", CURL)).outcome == "fail"
        assert isinstance(report(), ScanReport)
