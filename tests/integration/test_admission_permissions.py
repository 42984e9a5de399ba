"""The role of the admission server can do what the server does, and cannot pull: enforced by the embedded ECR."""

from __future__ import annotations

import pytest

from ecrkit import Registry
from ecrkit.access import Scope
from ecrkit.admission import admission_configuration
from ecrkit.admission.manifests import server_policy
from ecrkit.errors import Denied
from ecrkit.local import Engine
from ecrkit.local.images import filler, image, index
from ecrkit.local.scans import inject

HERE = Scope("123456789012", "us-east-1")
CONFIG = admission_configuration(
    '{"profiles": [{"name": "all", "conditions": ["signed", "not-archived"], "gate": {"limits": {"CRITICAL": 0}}}]}'
)


@pytest.fixture
def engine() -> Engine:
    return Engine(principals={"door": server_policy(HERE)})


def test_the_role_suffices_for_images_indexes_and_conditions(engine):
    with Registry.local(engine) as owner:
        owner.gateway.create_repository("team/app")
        one, other = (image([filler(5_000, seed=n)], platform=f"linux/{n}") for n in ("amd64", "arm64"))
        client = owner.aws.client("ecr")
        index([one, other]).push(client, "team/app", "v1")
        for built in (one, other):
            inject(engine, built.digest, findings=[])
        owner.scanning.wait("team/app:v1", start=True)
    with Registry.local(engine, caller="door") as registry, registry.admission(CONFIG) as service:
        decision = service.decide("123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app:v1", deadline=30)
        # It is judged to the end: only the signature is missing, and nothing was refused.
        assert (decision.outcome, decision.reason) == ("fail", "signed: there is no signature of the image")
        assert not engine.enforcement.denied
        with pytest.raises(Denied):
            registry.gateway.layer_url("team/app", one.digest)
        with pytest.raises(Denied):
            registry.gateway.create_repository("other")
