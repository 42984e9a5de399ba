"""What the presets give a promotion is enough for it, within an account and across two, and nothing less is."""

from __future__ import annotations

import pytest

from ecrkit import Registry
from ecrkit.access import Scope, presets, sharing
from ecrkit.errors import AwsCallFailed
from ecrkit.local import Engine
from tests.support.promotion import SOURCE, TARGET, signed_index

OWN, OTHER, REGION = "123456789012", "210987654321", "us-east-1"


@pytest.fixture
def engine():
    made = Engine(account=OWN, region=REGION)
    with Registry.local(made) as own, Registry.local(made, account=OTHER) as other:
        own.gateway.create_repository(SOURCE)
        own.gateway.create_repository(TARGET)
        other.gateway.create_repository(TARGET)
        signed_index(own)
    return made


def scope(account, *repositories):
    return Scope(account, REGION, repositories)


class TestWithinAnAccount:
    PRESET = presets.promotion(scope(OWN, SOURCE), scope(OWN, TARGET))

    def test_to_copy_and_to_retag(self, engine):
        with Registry.local(engine, principals={"ci": self.PRESET}, caller="ci", attempts=1) as registry:
            assert registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1").digest
            assert registry.promotion.retag(f"{TARGET}:v1", "live").digest

    @pytest.mark.parametrize("lacking", sorted(
        {a for s in PRESET.statements for a in s.actions}
        # The API asks no token of the caller.
        - {"ecr:GetAuthorizationToken"}
    ))  # fmt: skip
    def test_nothing_less(self, engine, lacking):
        statements = [
            {"Effect": "Allow", "Action": [a for a in s.actions if a != lacking], "Resource": list(s.resources)}
            for s in self.PRESET.statements
            if set(s.actions) != {lacking}
        ]
        document = {"Version": "2012-10-17", "Statement": statements}
        with (
            Registry.local(engine, principals={"ci": document}, caller="ci", attempts=1) as registry,
            pytest.raises(AwsCallFailed),
        ):
            registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1")


class TestAcrossAccounts:
    def test_both_sides(self, engine):
        pair = sharing.cross_account_promotion(scope(OWN, SOURCE), scope(OTHER, TARGET), f"arn:aws:iam::{OWN}:role/ci")
        target = f"{OTHER}.dkr.ecr.{REGION}.amazonaws.com/{TARGET}:v1"
        with Registry.local(engine, principals={"ci": pair.identity}, caller="ci", attempts=1) as registry:
            with pytest.raises(AwsCallFailed):
                registry.promotion.copy(f"{SOURCE}:v1", target)
            with Registry.local(engine, account=OTHER) as other:
                other.gateway.set_repository_policy(TARGET, pair.repository.to_json())
            assert registry.promotion.copy(f"{SOURCE}:v1", target).digest
