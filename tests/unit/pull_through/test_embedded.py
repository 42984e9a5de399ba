"""The operations of rules in the embedded ECR: answers of the model's shapes, and the errors the API reference names."""

from __future__ import annotations

from typing import Any

import pytest

from ecrkit.local import Engine
from ecrkit.local.faults import ServiceFault
from ecrkit.local.pull_through import FetchedManifest
from tests.support.shapes import check_fault, check_output

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:ecr-pullthroughcache/hub-a1b2c3"
QUAY = {"ecrRepositoryPrefix": "quay", "upstreamRegistryUrl": "quay.io"}
HUB = {"ecrRepositoryPrefix": "hub", "upstreamRegistryUrl": "registry-1.docker.io", "credentialArn": SECRET}


def call(engine: Engine, operation: str, **params: Any) -> dict[str, Any]:
    answer = engine.call(operation, params)
    check_output(operation, answer)
    return answer


def code(engine: Engine, operation: str, **params: Any) -> str:
    with pytest.raises(ServiceFault) as caught:
        engine.call(operation, params)
    check_fault(operation, caught.value)
    return caught.value.code


class TestRules:
    """Create, describe, update, validate, delete."""

    def test_a_life(self) -> None:
        engine = Engine()
        made = call(engine, "CreatePullThroughCacheRule", **HUB)
        assert (made["upstreamRegistry"], made["upstreamRepositoryPrefix"]) == ("docker-hub", "ROOT")
        call(engine, "CreatePullThroughCacheRule", **QUAY)
        first = call(engine, "DescribePullThroughCacheRules", maxResults=1)
        rest = call(engine, "DescribePullThroughCacheRules", maxResults=1, nextToken=first["nextToken"])
        prefixes = [r["ecrRepositoryPrefix"] for a in (first, rest) for r in a["pullThroughCacheRules"]]
        assert prefixes == ["hub", "quay"]
        changed = call(engine, "UpdatePullThroughCacheRule", ecrRepositoryPrefix="hub", credentialArn=SECRET + "x")
        assert changed["credentialArn"] == SECRET + "x"
        valid = call(engine, "ValidatePullThroughCacheRule", ecrRepositoryPrefix="hub")
        assert (valid["isValid"], "cannot be reached" in valid["failure"]) == (False, True)
        call(engine, "DeletePullThroughCacheRule", ecrRepositoryPrefix="hub/")
        assert (
            code(engine, "DeletePullThroughCacheRule", ecrRepositoryPrefix="hub")
            == "PullThroughCacheRuleNotFoundException"
        )

    def test_refusals(self) -> None:
        engine = Engine()
        call(engine, "CreatePullThroughCacheRule", **QUAY)
        again = {**QUAY, "ecrRepositoryPrefix": "quay/"}
        assert code(engine, "CreatePullThroughCacheRule", **again) == "PullThroughCacheRuleAlreadyExistsException"
        unknown = {"ecrRepositoryPrefix": "x1", "upstreamRegistryUrl": "example.com"}
        assert code(engine, "CreatePullThroughCacheRule", **unknown) == "UnsupportedUpstreamRegistryException"
        bare = {k: v for k, v in HUB.items() if k != "credentialArn"}
        assert code(engine, "CreatePullThroughCacheRule", **bare) == "InvalidParameterException"
        engine.pull_through.lose_secret(SECRET, "UnableToDecryptSecretValueException")
        assert code(engine, "CreatePullThroughCacheRule", **HUB) == "UnableToDecryptSecretValueException"
        for number in range(49):
            call(engine, "CreatePullThroughCacheRule", **{**QUAY, "ecrRepositoryPrefix": f"q{number}"})
        assert (
            code(engine, "CreatePullThroughCacheRule", **{**QUAY, "ecrRepositoryPrefix": "more"})
            == "LimitExceededException"
        )
        wanted = {"ecrRepositoryPrefixes": ["none"]}
        assert code(engine, "DescribePullThroughCacheRules", **wanted) == "PullThroughCacheRuleNotFoundException"

    def test_a_manifest_of_another_digest_is_not_taken(self) -> None:
        engine = Engine()
        call(engine, "CreatePullThroughCacheRule", **QUAY)
        text = '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
        engine.pull_through.connect("quay.io", lambda kind, *_: FetchedManifest(text) if kind == "manifest" else b"")
        asked = [{"imageDigest": "sha256:" + "1" * 64}]
        answer = call(engine, "BatchGetImage", repositoryName="quay/x", imageIds=asked)
        assert [f["failureCode"] for f in answer["failures"]] == ["UpstreamUnavailable"]
        assert engine.registry().repositories == {}
        (event,) = engine.events
        assert event.to_eventbridge()["detail"]["sync-status"] == "FAILED"  # type: ignore[attr-defined]  # it has one
