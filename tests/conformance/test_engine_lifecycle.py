from __future__ import annotations

import datetime as dt
import json

import pytest

from ecrkit import lifecycle
from ecrkit.images import Inventory
from ecrkit.local import ImageDeleted, LifecyclePolicyExecuted
from tests.support.lab import OCI, Lab


def rule(priority: int, action: str = "expire", **selection: object) -> dict[str, object]:
    does = {"type": action, **({"targetStorageClass": "archive"} if action == "transition" else {})}
    return {"rulePriority": priority, "selection": selection, "action": does}


@pytest.fixture
def lab() -> Lab:
    lab = Lab()
    for n in range(6):
        lab.push(f"v{n}", f"v{n}")
        lab.push(f"loose {n}")
        lab.engine.advance(dt.timedelta(days=10))
    return lab


class TestDryRunIsWhatHappens:
    """What `simulate` says of an inventory is what the registry does within a day, image by image."""

    def test_expire_archive_index_and_referrer(self, lab: Lab):
        before = lab.details()
        # The oldest untagged image: the rule marks it, and only the index holds it.
        child = min((i["imagePushedAt"], d) for d, i in before.items() if "imageTags" not in i)[1]
        index = lab.index([child], "multi")
        subject = next(d for d, i in before.items() if i.get("imageTags") == ["v0"])
        about = {"mediaType": OCI, "digest": subject, "size": 1}
        sig = lab.push("sig", "sig-0", subject=about, artifactType="application/x.sig")
        text = json.dumps(
            {
                "rules": [
                    rule(1, tagStatus="untagged", countType="sinceImagePushed", countUnit="days", countNumber=15),
                    rule(2, tagStatus="tagged", tagPrefixList=["v"], countType="imageCountMoreThan", countNumber=4),
                ]
            }
        )
        details = list(lab.details(filter={"imageStatus": "ANY"}).values())
        inventory = Inventory.from_api(details, children={index: [child]})
        run = lifecycle.simulate(lifecycle.LifecyclePolicy.parse(text), inventory, now=lab.engine.clock.now())
        assert run.outcome(child).action == "keep" and run.outcome(subject).action == "expire"
        gone = {getattr(i, "digest", i) for i in (*run.expired, *run.cascaded)}
        assert sig in gone
        lab("PutLifecyclePolicy", repositoryName="app", lifecyclePolicyText=text)
        lab.engine.advance(dt.timedelta(days=1))
        after = lab.details(filter={"imageStatus": "ANY"})
        assert {i["imageDigest"] for i in details} - after.keys() == gone
        (event,) = (e for e in lab.engine.events if isinstance(e, LifecyclePolicyExecuted))
        assert {f.digest for f in event.failures} == {child}
        assert {e.digest for e in lab.engine.events if isinstance(e, ImageDeleted)} == gone

    def test_transition(self, lab: Lab):
        text = json.dumps(
            {
                "rules": [
                    rule(
                        1, "transition", tagStatus="any", countType="sinceImagePulled", countUnit="days", countNumber=45
                    )
                ]
            }
        )
        details = list(lab.details().values())
        run = lifecycle.simulate(
            lifecycle.LifecyclePolicy.parse(text), Inventory.from_api(details), now=lab.engine.clock.now()
        )
        lab("PutLifecyclePolicy", repositoryName="app", lifecyclePolicyText=text)
        lab.engine.advance(dt.timedelta(days=1))
        archived = lab.details(filter={"imageStatus": "ARCHIVED"})
        assert archived.keys() == {getattr(i, "digest", i) for i in run.transitioned} != set()

    def test_invalid_policies_are_refused(self, lab: Lab):
        text = json.dumps({"rules": [rule(1, tagStatus="tagged", countType="imageCountMoreThan", countNumber=4)]})
        fault = lab.refused("PutLifecyclePolicy", repositoryName="app", lifecyclePolicyText=text)
        assert fault.code == "InvalidParameterException"
        assert fault.message.startswith(
            "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: "
        )
