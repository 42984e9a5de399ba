"""Feature tests ask the service model."""

from __future__ import annotations

import pytest

from ecrkit.aws import drift
from ecrkit.errors import NotSupportedByBotocore


@pytest.fixture
def client(shared_session):
    return shared_session.client("ecr")


class TestTheModelIsAsked:
    """botocore drops what it does not know, so the model is asked before a call (botocore, `meta.service_model`)."""

    def test_operations(self, client):
        assert drift.has_operation(client, "DescribeImages")
        assert not drift.has_operation(client, "DescribeTheFuture")

    def test_members(self, client):
        assert drift.has_member(client, "DescribeImagesFilter", "imageStatus")
        assert not drift.has_member(client, "DescribeImagesFilter", "futureStatus")
        assert not drift.has_member(client, "NoSuchShape", "imageStatus")
        assert not drift.has_member(client, "ImageStatusFilter", "ANY")

    def test_inputs(self, client):
        assert drift.has_input(client, "DescribeImages", "registryId")
        assert not drift.has_input(client, "GetAccountSetting", "registryId")
        assert not drift.has_input(client, "DescribeTheFuture", "registryId")

    def test_enums_and_what_is_none(self, client):
        assert {"ACTIVE", "ARCHIVED", "ACTIVATING", "ANY"} <= drift.enum_values(client, "ImageStatusFilter")
        assert drift.enum_values(client, "ImageDigest") == frozenset()
        assert drift.enum_values(client, "ImageDetail") == frozenset()
        assert drift.enum_values(client, "NoSuchShape") == frozenset()


class TestWhatIsMissingIsNamed:
    """A missing operation or member is a typed error that names it and the installed version."""

    def test_each(self, client):
        drift.require_operation(client, "DescribeImages")
        drift.require_input(client, "DescribeImages", "filter")
        drift.require_member(client, "ImageDetail", "imageStatus")
        for call, named in (
            (lambda: drift.require_operation(client, "Nope"), "ecr:Nope"),
            (lambda: drift.require_input(client, "Nope", "x"), "ecr:Nope"),
            (lambda: drift.require_input(client, "DescribeImages", "x"), "ecr:DescribeImages.x"),
            (lambda: drift.require_member(client, "ImageDetail", "x"), "ecr:ImageDetail.x"),
        ):
            with pytest.raises(NotSupportedByBotocore) as caught:
                call()
            assert caught.value.what == named
            import botocore

            assert caught.value.installed == botocore.__version__
