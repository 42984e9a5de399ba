"""Managed signing through the gateway, with answers of botocore's own Stubber and of the embedded ECR."""

from __future__ import annotations

import pytest
from botocore.stub import Stubber

from ecrkit.aws.ecr import EcrGateway
from ecrkit.aws.session import AwsSession, offline_session
from ecrkit.errors import AwsCallFailed, NotFound, NotSupportedByBotocore
from ecrkit.records import SigningStatus

DIGEST = "sha256:" + "1" * 64
PROFILE = "arn:aws:signer:us-east-1:123456789012:/signing-profiles/prod"
ASKED = {"repositoryName": "app", "imageId": {"imageDigest": DIGEST}}


class TestSigningStatus:
    """One status for each signing profile, COMPLETE, IN_PROGRESS or FAILED (API reference, ImageSigningStatus)."""

    def test_every_profile(self):
        caller = AwsSession(offline_session("us-east-1"), workers=1).caller("ecr")
        told = [
            {"signingProfileArn": PROFILE, "status": "COMPLETE"},
            {
                "signingProfileArn": PROFILE + "2",
                "status": "FAILED",
                "failureCode": "AccessDenied",
                "failureReason": "no",
            },
        ]
        with Stubber(caller.client) as stub:
            stub.add_response(
                "describe_image_signing_status", {"repositoryName": "app", "signingStatuses": told}, ASKED
            )
            stub.add_response("describe_image_signing_status", {"repositoryName": "app"}, ASKED)
            stub.add_client_error("describe_image_signing_status", "ImageNotFoundException", "gone", 400)
            gateway = EcrGateway(caller)
            assert gateway.signing_status("app", DIGEST) == (
                SigningStatus(profile_arn=PROFILE, status="COMPLETE"),
                SigningStatus(
                    profile_arn=PROFILE + "2", status="FAILED", failure_code="AccessDenied", failure_reason="no"
                ),
            )
            assert gateway.signing_status("app", DIGEST) == ()
            with pytest.raises(NotFound):
                gateway.signing_status("app", DIGEST)
            stub.assert_no_pending_responses()

    def test_an_older_botocore(self, monkeypatch):
        caller = AwsSession(offline_session("us-east-1"), workers=1).caller("ecr")
        monkeypatch.setattr("ecrkit.aws.drift.has_operation", lambda client, operation: False)
        with pytest.raises(NotSupportedByBotocore, match="DescribeImageSigningStatus"):
            EcrGateway(caller).signing_status("app", DIGEST)

    def test_the_embedded_ecr_does_not_sign(self, embedded):
        with pytest.raises(AwsCallFailed, match="UnsupportedOperation"):
            EcrGateway(embedded.caller("ecr")).signing_status("app", DIGEST)
