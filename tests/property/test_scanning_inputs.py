"""Documents with any one part replaced by anything: a clear error or a result, never a crash, never a silent pass."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.errors import InvalidInput
from ecrkit.scanning import (
    EpssFeed,
    Exemptions,
    Gate,
    KnownExploited,
    Purl,
    ScanningConfiguration,
    ScanReport,
    VexStatements,
    count_limit,
    gate_from,
    index_children,
    profiles_from,
    readiness,
)
from ecrkit.scanning.configuration import filter_problem
from tests.unit.scanning.build import DIGEST, NOW, answer, basic_raw, enhanced_raw, package_raw
from tests.unit.scanning.test_inspector import inspector_raw
from tests.unit.scanning.test_policy_files import EVERY
from tests.unit.scanning.test_service import BUILDX
from tests.unit.scanning.test_vex import IMAGE_PURL, csaf, cyclonedx, openvex, says

junk = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([1e400, -1e400, float("nan"), 10**30, -0.0]),
    st.sampled_from(["", " ", "x", "2026-13-01", "pkg:", "NotAvailable", "*", "1e999", "\x00", "é" * 300]),
    st.sampled_from([[], {}, [None], [[]], {"": None}, [{}], {"x": []}, ["x", 1]]),
)  # fmt: skip


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        found += places(child, (*path, key))
    return found


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    body = copy.deepcopy(document)
    node = body
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return body


HUB = {"Findings": [{
    "SchemaVersion": "2018-10-08", "Id": "arn:x", "Title": "t", "Severity": {"Label": "HIGH"}, "RecordState": "ACTIVE",
    "Workflow": {"Status": "NEW"}, "ProductFields": {"aws/inspector/inspectorScore": "6.5"},
    "Resources": [{"Type": "AwsEcrContainerImage", "Details": {"AwsEcrContainerImage": {"ImageDigest": DIGEST}}}],
    "Vulnerabilities": [{"Id": "CVE-1", "EpssScore": 0.1, "Vendor": {"Name": "NVD"}, "Cvss": [{"BaseScore": 1}],
                         "VulnerablePackages": [{"Name": "a", "Version": "1", "Epoch": "0"}]}],
}]}  # fmt: skip

FULL = enhanced_raw(
    "CVE-1", "HIGH", package_raw(fixedInVersion="2", filePath="x"),
    details={"cvss": [{"baseScore": 1}], "relatedVulnerabilities": ["G"], "referenceUrls": ["u"], "vendorCreatedAt": 1},
    scoreDetails={"cvss": {"scoreSource": "NVD"}}, remediation={"recommendation": {"text": "t"}}, epss={"score": 0.1},
    image={"inUseCount": 1, "lastInUseAt": 1},
)  # fmt: skip

READERS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "basic": (ScanReport.from_api, answer(basic=[basic_raw("CVE-1")])),
    "enhanced": (ScanReport.from_api, [answer("ACTIVE", enhanced=[FULL])]),
    "inspector": (ScanReport.from_inspector, {"findings": [inspector_raw("CVE-1")]}),
    "coverage": (
        lambda c: ScanReport.from_inspector([], digest=DIGEST, coverage=c),
        {"scanStatus": {"statusCode": "ACTIVE", "reason": "x"}, "lastScannedAt": 1},
    ),
    "hub": (ScanReport.from_security_hub, HUB),
    "openvex": (VexStatements.parse, openvex(says("not_affected", {"@id": IMAGE_PURL, "subcomponents": [{"@id": "pkg:npm/x"}]}))),
    "csaf": (VexStatements.parse, csaf({"fixed": ["CURL", "IMAGE"]}, flags=[{"label": "x", "product_ids": ["CURL"]}])),
    "cyclonedx": (VexStatements.parse, cyclonedx("not_affected")),
    "exemptions": (
        Exemptions.parse,
        {"max_days": 90, "exemptions": [{"id": ["CVE-1"], "reason": "r", "expires": "2026-12-31", "created": "2026-12-01"}]},
    ),
    "profiles": (profiles_from, {"profiles": [{"name": "a", "namespaces": ["x"], "gate": {"limits": {"HIGH": 1}}}]}),
    "configuration": (ScanningConfiguration.from_api, ScanningConfiguration.enhanced(continuous=["a"], on_push=["b"]).to_api()),
    "index": (index_children, BUILDX),
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=200)
@given(data=st.data())
def test_any_part_replaced_by_anything(name: str, data: st.DataObject) -> None:
    reader, document = READERS[name]
    body = replaced(document, data.draw(st.sampled_from(places(document))), data.draw(junk))
    try:
        found = reader(body)
    except InvalidInput as caught:
        fault: InvalidInput | None = caught
        found = None
    else:
        fault = None
    assert fault is None or (fault.problems and all(p.path and p.message for p in fault.problems))
    if isinstance(found, ScanReport):
        readiness(found)
        Gate(count_limit("HIGH", 0)).judge(found, now=NOW).explain()
        found.to_json()


@settings(max_examples=300)
@given(data=st.data())
def test_a_gate_file_with_any_part_replaced(data: st.DataObject) -> None:
    import tomllib

    document = tomllib.loads(EVERY)
    body = replaced(document, data.draw(st.sampled_from(places(document))), data.draw(junk))
    try:
        gate_from(body)
    except InvalidInput as caught:
        problems: tuple[Any, ...] = caught.problems
    else:
        problems = ("none",)
    assert problems


@settings(max_examples=200)
@given(st.one_of(st.text(max_size=30), st.binary(max_size=30).map(lambda b: b.decode("latin-1"))))
def test_any_text(text: str) -> None:
    for reader in (
        EpssFeed.parse,
        KnownExploited.parse,
        Purl.parse,
        Exemptions.parse,
        VexStatements.parse,
        gate_from,
        index_children,
    ):
        try:
            reader(text)
        except InvalidInput:
            continue


@settings(max_examples=100)
@given(st.sampled_from(places(answer("ACTIVE", enhanced=[FULL]))), junk)
def test_a_damaged_finding_is_never_a_pass(path: tuple[Any, ...], value: Any) -> None:
    """Whatever one part of a HIGH finding becomes: it counts, it is told as unreadable, or the answer is no result."""
    body = replaced(answer("ACTIVE", enhanced=[FULL]), path, value)
    told = ("severity", "status", "enhancedFindings", "findings", "imageScanFindings")
    if path[-1] in told:  # a part that says how bad, how live, or which findings there are
        return
    if len(path) == 3 and path[1] == "enhancedFindings" and value in ({}, []):
        return
    try:
        report = ScanReport.from_api(body)
    except InvalidInput:
        return
    assert Gate(count_limit("HIGH", 0)).judge(report, now=NOW).outcome != "pass"


@settings(max_examples=500)
@given(st.text(alphabet="aZ0*._-/ \n", max_size=8))
def test_filters_are_taken_as_the_pattern_of_the_service_model_takes_them(text: str) -> None:
    pattern = r"[a-z0-9*](?:[._\-/a-z0-9*]?[a-z0-9*]+)*"
    assert (filter_problem(text) is None) is (re.fullmatch(pattern, text) is not None)


def test_numbers_json_cannot_hold_are_refused_or_told() -> None:
    raw = json.loads(json.dumps(enhanced_raw("CVE-1")))
    raw["packageVulnerabilityDetails"]["vulnerablePackages"][0]["epoch"] = 1e400
    assert ScanReport.from_api(answer(enhanced=[raw])).unreadable == 1
