"""Gates out of other domains: an answer that cannot be had is no yes."""

from __future__ import annotations

import datetime as dt

import pytest

from ecrkit import errors
from ecrkit.client.gates import provenance_gate, referrer_gate, replication_gate, scan_gate
from ecrkit.local.images import artifact, filler, image, push
from ecrkit.promotion import Candidate, Promotion
from ecrkit.scanning import Gate, count_limit
from tests.support.promotion import SOURCE, TARGET, registry

SBOM = "application/spdx+json"


@pytest.fixture
def made():
    with registry() as opened:
        yield opened


def candidate(digest, source=f"{SOURCE}:v1"):
    return Candidate(source=source, repository=SOURCE, digest=digest, target=TARGET, who="ci", why="release")


class TestComposed:
    def test_a_scan_decides(self, made):
        built = image([filler(4096)])
        digest = push(built, made.client, SOURCE, "v1")
        gate = scan_gate(made, Gate(count_limit("CRITICAL", 0)))
        assert gate(candidate(digest)).outcome == "undetermined"
        made.gateway.start_scan(SOURCE, digest)
        made.engine.clock.advance(dt.timedelta(minutes=10))
        assert gate(candidate(digest)).outcome == "pass"

    def test_referrers(self, made):
        built = image([filler(4096)])
        digest = push(built, made.client, SOURCE, "v1")
        wanted = Promotion(
            source=f"{SOURCE}:v1", target=f"{TARGET}:v1", who="ci", why="x", gates={"sbom": referrer_gate(made, [SBOM])}
        )
        with pytest.raises(errors.GateRefused, match="nothing of type"):
            made.promotion.promote(wanted)
        push(artifact(built, SBOM, content=b"{}"), made.client, SOURCE)
        assert made.promotion.promote(wanted).digest == digest

    def test_provenance(self, made):
        built = image([filler(4096)])
        digest = push(built, made.client, SOURCE, "v1")
        gate = provenance_gate(made)
        assert gate(candidate(digest)).outcome == "fail"
        wanted = Promotion(source=f"{SOURCE}:v1", target=f"{TARGET}:v1", who="ci", why="x", gates={"provenance": gate})
        with pytest.raises(errors.GateRefused, match="no provenance of the image is recorded"):
            made.promotion.promote(wanted)
        silent = artifact(built, "application/vnd.in-toto+json", content=b"{}")
        push(silent, made.client, SOURCE)
        assert gate(candidate(digest)).outcome == "undetermined"
        push(artifact(built, "application/vnd.in-toto.provenance+dsse", content=b"{}"), made.client, SOURCE)
        assert gate(candidate(digest)).outcome == "pass"
        assert made.promotion.promote(wanted).digest == digest

    def test_a_gate_of_no_type_is_refused(self, made):
        with pytest.raises(errors.InvalidInput, match="names no type"):
            referrer_gate(made, [])

    def test_replication(self, made):
        digest = push(image([filler(4096)]), made.client, SOURCE, "v1")
        gate = replication_gate(made)
        assert gate(candidate(digest)).outcome == "undetermined"
        assert replication_gate(made, ["eu-west-1"])(candidate(digest)).outcome == "fail"
        away = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/{SOURCE}"
        made.promotion.copy(f"{SOURCE}:v1", away, create_repository=True)
        assert replication_gate(made, ["eu-west-1"])(candidate(digest)).outcome == "pass"

    def test_an_image_of_another_region_is_judged_there(self, made):
        digest = push(image([filler(4096)]), made.client, SOURCE, "v1")
        away = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/{SOURCE}:v1"
        with pytest.raises(errors.NotFound):
            referrer_gate(made, [SBOM])(candidate(digest, away))

    @pytest.mark.parametrize("source", ["docker.io/node:20", "public.ecr.aws/a/b:1"])
    def test_what_is_not_in_private_ecr(self, made, source):
        for gate in (
            scan_gate(made, Gate(count_limit("CRITICAL", 0))), replication_gate(made), referrer_gate(made, [SBOM])
        ):  # fmt: skip
            assert gate(candidate("sha256:" + "0" * 64, source)).outcome == "undetermined"
