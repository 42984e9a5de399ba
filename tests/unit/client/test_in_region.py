"""A registry reached from another one: kept, closed together, with the same caller."""

from __future__ import annotations

import pytest

from ecrkit import Registry
from ecrkit.access import Scope, presets
from ecrkit.errors import Denied


def test_it_is_another_registry_of_the_same_engine():
    with Registry.local() as registry:
        other = registry.in_region("eu-west-1")
        other.gateway.create_repository("team/app")
        assert [r.name for r in other.repositories()] == ["team/app"]
        assert registry.repositories().all() == ()
        assert other.engine is registry.engine


def test_the_same_one_is_returned_again_and_home_is_home():
    with Registry.local() as registry:
        assert registry.in_region("eu-west-1") is registry.in_region("eu-west-1")
        assert registry.in_region(registry.region) is registry
        assert registry.in_region(registry.region, account="222222222222") is not registry


def test_another_account_is_another_registry():
    with Registry.local() as registry:
        other = registry.in_region("eu-west-1", account="222222222222")
        made = other.gateway.create_repository("team/app")
        assert made.uri.startswith("222222222222.dkr.ecr.eu-west-1.")


def test_closing_closes_the_others():
    registry = Registry.local()
    other = registry.in_region("eu-west-1")
    registry.close()
    with pytest.raises(RuntimeError):
        other.repositories().all()


def test_the_caller_goes_along():
    node = presets.pull(Scope("123456789012", "us-east-1"))
    with Registry.local(principals={"node": node}, caller="node") as registry, pytest.raises(Denied):
        registry.in_region("eu-west-1").repositories().all()


def test_on_aws_it_keeps_the_account_it_was_given():
    import boto3

    session = boto3.Session(
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="x", region_name="us-east-1"
    )
    with Registry.from_session(session, registry_id="222222222222") as registry:
        other = registry.in_region("eu-west-1")
        assert (other.region, other.registry_id) == ("eu-west-1", "222222222222")
        assert registry.in_region("eu-west-1", account="333333333333").registry_id == "333333333333"
