"""botocore's errors become the error tree."""

from __future__ import annotations

import pickle
import traceback

import botocore.exceptions as aws
import pytest

from ecrkit import errors
from ecrkit.aws.faults import Retry, classify, error_from, scrubbed
from tests.unit.aws.conftest import client_error


def made(error, **options):
    return error_from(error, service="ecr", operation="DescribeImages", resource="team/app", **options)


class TestEachKind:
    """Every error of ECR's model has one class, and only throttles and failures of the service are repeated."""

    @pytest.mark.parametrize(
        ("code", "kind", "retry"),
        [
            ("ThrottlingException", errors.Throttled, Retry.PACED),
            ("ThrottleException", errors.Throttled, Retry.PACED),
            ("TooManyRequestsException", errors.Throttled, Retry.PACED),
            ("AccessDeniedException", errors.Denied, Retry.NO),
            ("403", errors.Denied, Retry.NO),
            ("BlockedByOrganizationPolicyException", errors.Denied, Retry.NO),
            ("UnableToDecryptSecretValueException", errors.Denied, Retry.NO),
            ("ExpiredTokenException", errors.CredentialsMissing, Retry.NO),
            ("UnrecognizedClientException", errors.CredentialsMissing, Retry.NO),
            ("InvalidClientTokenId", errors.CredentialsMissing, Retry.NO),
            ("InvalidSignatureException", errors.CredentialsMissing, Retry.NO),
            ("LimitExceededException", errors.QuotaExceeded, Retry.NO),
            ("TooManyTagsException", errors.QuotaExceeded, Retry.NO),
            ("RepositoryAlreadyExistsException", errors.Conflict, Retry.NO),
            ("ImageTagAlreadyExistsException", errors.Conflict, Retry.NO),
            ("LayerAlreadyExistsException", errors.Conflict, Retry.NO),
            ("RepositoryNotEmptyException", errors.Conflict, Retry.NO),
            ("LifecyclePolicyPreviewInProgressException", errors.Conflict, Retry.NO),
            ("ImageArchivedException", errors.Conflict, Retry.NO),
            ("RepositoryNotFoundException", errors.NotFound, Retry.NO),
            ("LayersNotFoundException", errors.NotFound, Retry.NO),
            ("ReferencedImagesNotFoundException", errors.NotFound, Retry.NO),
            ("LayerInaccessibleException", errors.NotFound, Retry.NO),
            ("InvalidParameterException", errors.Rejected, Retry.NO),
            ("ValidationException", errors.Rejected, Retry.NO),
            ("ImageDigestDoesNotMatchException", errors.Rejected, Retry.NO),
            ("KmsException", errors.Rejected, Retry.NO),
            ("SomethingNew", errors.Rejected, Retry.NO),
            ("ServerException", errors.Unavailable, Retry.BACKED_OFF),
            ("503", errors.Unavailable, Retry.BACKED_OFF),
            ("UnableToGetUpstreamImageException", errors.Unavailable, Retry.NO),
        ],
    )
    def test_code(self, code, kind, retry):
        fault = classify(client_error(code))
        assert (fault.kind, fault.retry, fault.code) == (kind, retry, code)

    def test_status_decides_where_the_code_says_nothing(self):
        assert classify(client_error("", status=500)).retry is Retry.BACKED_OFF
        assert classify(client_error("", status=429)).retry is Retry.PACED

    def test_every_error_of_the_model_is_meant(self, shared_session):
        """No modelled error falls through to Rejected unless it says that the request is wrong."""
        model = shared_session.client("ecr").meta.service_model
        rejected = {
            shape.name for shape in model.error_shapes if classify(client_error(shape.name)).kind is errors.Rejected
        }
        assert rejected == {
            "EmptyUploadException",
            "ImageDigestDoesNotMatchException",
            "ImageStorageClassUpdateNotSupportedException",
            "InvalidLayerException",
            "InvalidLayerPartException",
            "InvalidParameterException",
            "InvalidTagParameterException",
            "KmsException",
            "LayerPartTooSmallException",
            "UnsupportedImageTypeException",
            "UnsupportedUpstreamRegistryException",
            "ValidationException",
        } & {shape.name for shape in model.error_shapes}

    @pytest.mark.parametrize(
        ("error", "kind", "retry"),
        [
            (aws.NoCredentialsError(), errors.CredentialsMissing, Retry.NO),
            (aws.PartialCredentialsError(provider="env", cred_var="X"), errors.CredentialsMissing, Retry.NO),
            (aws.ProfileNotFound(profile="x"), errors.CredentialsMissing, Retry.NO),
            (aws.UnauthorizedSSOTokenError(), errors.CredentialsMissing, Retry.NO),
            (aws.EndpointConnectionError(endpoint_url="x"), errors.Unavailable, Retry.BACKED_OFF),
            (aws.ReadTimeoutError(endpoint_url="x"), errors.Unavailable, Retry.BACKED_OFF),
            (aws.ConnectionClosedError(endpoint_url="x"), errors.Unavailable, Retry.BACKED_OFF),
            (aws.SSLError(endpoint_url="x", error="bad"), errors.Unavailable, Retry.NO),
            (aws.ParamValidationError(report="Missing required parameter"), errors.Rejected, Retry.NO),
        ],
    )
    def test_faults_without_an_answer(self, error, kind, retry):
        assert (classify(error).kind, classify(error).retry) == (kind, retry)
        assert type(made(error)) is kind


class TestTheMessageSaysAllThree:
    """What was asked, what is wrong, what to do; with the facts as attributes, and it survives pickling."""

    def test_facts(self):
        error = made(client_error("RepositoryNotFoundException", "no repository team/app."))
        assert str(error) == (
            "ecr DescribeImages for team/app: RepositoryNotFoundException: no repository team/app; "
            "check name, account and region"
        )
        assert (error.operation, error.code, error.service, error.request_id, error.resource) == (
            "DescribeImages",
            "RepositoryNotFoundException",
            "ecr",
            "req-1",
            "team/app",
        )
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.request_id) == (type(error), str(error), "req-1")

    def test_throttled_says_how_often(self):
        assert "after 10 attempts" in str(made(client_error("ThrottlingException"), attempts=10))
        assert "after 1 attempt;" in str(made(client_error("ThrottlingException"), attempts=1))

    def test_an_unknown_request_member_is_drift(self):
        report = 'Parameter validation failed:\nUnknown parameter in input: "future", must be one of: registryId'
        error = made(aws.ParamValidationError(report=report))
        assert isinstance(error, errors.NotSupportedByBotocore)
        assert error.what == "the request member future of ecr:DescribeImages"
        report = 'Unknown parameter in replicationConfiguration.rules[0]: "deleteReplication", must be one of: x'
        assert (
            "replicationConfiguration.rules[0].deleteReplication" in made(aws.ParamValidationError(report=report)).what
        )


class TestDenials:
    """The missing action is named: from the message's documented form, else from the operation (IAM user guide)."""

    def test_from_the_message(self):
        text = (
            "User: arn:aws:sts::123456789012:assumed-role/ci/x is not authorized to perform: ecr:BatchGetImage on "
            "resource: arn:aws:ecr:eu-west-1:123456789012:repository/app because no identity-based policy allows the "
            "ecr:BatchGetImage action"
        )
        error = made(client_error("AccessDeniedException", text))
        assert error.action == "ecr:BatchGetImage"
        assert "allow ecr:BatchGetImage" in str(error)

    @pytest.mark.parametrize(
        ("operation", "action"),
        [("DescribeImages", "ecr:DescribeImages"), ("ListImageReferrers", "ecr:BatchGetImage")],
    )
    def test_from_the_operation(self, operation, action):
        error = error_from(client_error("403", ""), service="ecr", operation=operation)
        assert error.action == action

    def test_the_action_survives_pickling(self):
        error = made(client_error("AccessDeniedException"))
        assert pickle.loads(pickle.dumps(error)).action == "ecr:DescribeImages"


class TestSecretsStayOut:
    """A signature fault quotes the canonical request, session token included: neither message nor cause keeps it."""

    def test_message_and_traceback(self):
        told = (
            "The request signature we calculated does not match the signature you provided.\n\nThe Canonical String "
            "for this request should have been\n'POST\n/\n\nx-amz-security-token:FwoGZXIvYXdzSECRET\n'"
        )
        original = client_error("InvalidSignatureException", told)
        with pytest.raises(errors.CredentialsMissing) as caught:
            raise made(original) from scrubbed(original)
        shown = "".join(traceback.format_exception(caught.value))
        assert isinstance(caught.value.__cause__, aws.ClientError)
        assert "SECRET" not in shown
        assert "does not match" in shown

    @pytest.mark.parametrize(
        "told",
        [
            "header x-amz-security-token: SECRETSECRET refused",
            "Authorization=SECRETSECRET refused",
            "key ASIASECRETSECRET99 is unknown",
            'bad input {"SecretAccessKey": "SECRETSECRET"}',
        ],
    )
    def test_other_forms(self, told):
        assert "SECRET" not in str(made(client_error("ValidationException", told)))

    def test_an_error_without_secrets_is_its_own_cause(self):
        error = client_error("ValidationException", "plain")
        assert scrubbed(error) is error

    def test_an_endless_message_is_cut(self):
        assert len(str(made(client_error("ValidationException", "x" * 100_000)))) < 3000
