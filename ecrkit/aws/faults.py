"""From botocore's errors to the error tree: which kind of fault, whether a repeat can help, and what to do.

Error names follow the ECR API reference and botocore's model; the form of a denial follows the IAM user guide
("Troubleshoot access denied error messages").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

import attrs
import botocore
import botocore.exceptions as aws
from botocore.exceptions import BotoCoreError, ClientError

from ecrkit.aws.iam import action_for
from ecrkit.errors import (
    AwsCallFailed,
    Conflict,
    CredentialsMissing,
    Denied,
    EcrkitError,
    NotFound,
    NotSupportedByBotocore,
    QuotaExceeded,
    Rejected,
    Throttled,
    Unavailable,
)

__all__ = ["Fault", "Retry", "classify", "error_from", "scrubbed"]


class Retry(Enum):
    """Whether repeating the call can help."""

    NO = "no"
    PACED = "paced"
    """The service throttled: repeat at a lower pace."""
    BACKED_OFF = "backed off"
    """The service or the way to it failed: repeat after a pause."""


@attrs.frozen
class Fault:
    """What a botocore error means: the error class, whether to repeat, and AWS's code."""

    kind: type[AwsCallFailed]
    retry: Retry
    code: str


# LimitExceededException is missing on purpose: for ECR it is a hard quota such as images per repository, although
# botocore's standard mode retries it.
_THROTTLED: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottleException",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
        "429",
    }
)
_DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "BlockedByOrganizationPolicyException",
        "NotAuthorized",
        "UnableToAccessSecretException",
        "UnableToDecryptSecretValueException",
        "UnauthorizedOperation",
        "403",  # an emulator that answers XML in the JSON protocol leaves only the status
    }
)
_CREDENTIALS: Final = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
        "401",
    }
)
_QUOTA: Final = frozenset(
    {
        "LimitExceeded",
        "LimitExceededException",
        "QuotaExceededException",
        "ServiceQuotaExceededException",
        "TooManyTagsException",
    }
)
_CONFLICT: Final = frozenset(
    {
        "ConflictException",
        "ImageArchivedException",
        "LifecyclePolicyPreviewInProgressException",
        "ReplicationBackfillInProgressException",
        "ReplicationBackfillInvalidStatusException",
        "RepositoryNotEmptyException",
        "ResourceInUseException",
    }
)
_NOT_FOUND: Final = frozenset({"LayerInaccessibleException", "ResourceNotFoundException", "404"})
_UNAVAILABLE: Final = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "InternalServerException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServerException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)
# The upstream of a pull-through cache refused or failed: not ours to repeat quickly, and no fault of the request.
_UPSTREAM: Final = frozenset(
    {
        "UnableToGetUpstreamImageException",
        "UnableToGetUpstreamLayerException",
        "UnableToListUpstreamImageReferrersException",
    }
)

_NO_CREDENTIALS: Final[tuple[type[BotoCoreError], ...]] = tuple(
    found
    for name in (
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "NoAuthTokenError",
        "TokenRetrievalError",
        "SSOError",
        "LoginError",
        "RefreshWithMFAUnsupportedError",
        "ProfileNotFound",
        "UnknownCredentialError",
        "MetadataRetrievalError",
    )
    # LoginError, for one, came after the oldest botocore that is supported.
    if (found := getattr(aws, name, None)) is not None
)
_FINAL_CONNECTION: Final = (aws.SSLError, aws.ProxyConnectionError)


def classify(error: ClientError | BotoCoreError) -> Fault:
    """Return what a botocore error means. It never raises, whatever the error carries.

    Example:
        >>> error = ClientError({"Error": {"Code": "LimitExceededException", "Message": "full"}}, "PutImage")
        >>> classify(error).kind.__name__, classify(error).retry.name
        ('QuotaExceeded', 'NO')
    """
    if isinstance(error, ClientError):
        return _classify_answer(*_code_and_status(error))
    name = type(error).__name__
    if isinstance(error, _NO_CREDENTIALS):
        return Fault(CredentialsMissing, Retry.NO, name)
    if isinstance(error, _FINAL_CONNECTION):
        return Fault(Unavailable, Retry.NO, name)
    if isinstance(error, aws.ConnectionError | aws.HTTPClientError | aws.IncompleteReadError):
        return Fault(Unavailable, Retry.BACKED_OFF, name)
    if type(error) is BotoCoreError or name in ("ResponseParserError", "ChecksumError"):
        return Fault(Unavailable, Retry.BACKED_OFF, name)
    return Fault(Rejected, Retry.NO, name)


def _code_and_status(error: ClientError) -> tuple[str, int]:
    response: Mapping[str, Any] = getattr(error, "response", None) or {}
    code = (response.get("Error") or {}).get("Code")
    status = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode")
    return str(code or ""), status if isinstance(status, int) else 0


def _classify_answer(code: str, status: int) -> Fault:
    if code in _THROTTLED or status == 429:
        return Fault(Throttled, Retry.PACED, code)
    if code in _CREDENTIALS:
        return Fault(CredentialsMissing, Retry.NO, code)
    if code in _DENIED:
        return Fault(Denied, Retry.NO, code)
    if code in _QUOTA:
        return Fault(QuotaExceeded, Retry.NO, code)
    if code in _CONFLICT or code.endswith("AlreadyExistsException"):
        return Fault(Conflict, Retry.NO, code)
    if code in _NOT_FOUND or code.endswith("NotFoundException"):
        return Fault(NotFound, Retry.NO, code)
    if code in _UPSTREAM:
        return Fault(Unavailable, Retry.NO, code)
    if code in _UNAVAILABLE or status >= 500 or (code.isdigit() and int(code) >= 500):
        return Fault(Unavailable, Retry.BACKED_OFF, code)
    return Fault(Rejected, Retry.NO, code)


def error_from(
    error: ClientError | BotoCoreError,
    *,
    service: str,
    operation: str,
    resource: str | None = None,
    attempts: int = 1,
) -> EcrkitError:
    """Return the error of the tree for a botocore error; raise it `from scrubbed(error)`.

    The message says what was asked, what AWS answered and what to do. Secrets that a signature fault quotes are cut.

    Example:
        >>> answer = {"Error": {"Code": "RepositoryNotFoundException", "Message": "no such repository"}}
        >>> print(error_from(ClientError(answer, "DescribeImages"), service="ecr", operation="DescribeImages",
        ...                  resource="team/app"))
        ecr DescribeImages for team/app: RepositoryNotFoundException: no such repository; check name, account and region
    """
    if isinstance(error, aws.ParamValidationError) and "Unknown parameter in" in str(error):
        return NotSupportedByBotocore(
            _unknown_parameter(service, operation, str(error)), installed=botocore.__version__
        )
    fault = classify(error)
    text = _clean(_message(error))
    action = _denied_action(text) or action_for(service, operation) if fault.kind is Denied else None
    asked = f"{service} {operation}" + (f" for {resource}" if resource else "")
    told = text if text.startswith(fault.code) else f"{fault.code}: {text}" if text else fault.code
    advice = _advice(fault, action, attempts)
    made = fault.kind(
        f"{asked}: {told.rstrip('. ')}; {advice}",
        operation=operation,
        code=fault.code,
        service=service,
        request_id=_request_id(error),
        resource=resource,
    )
    if isinstance(made, Denied):
        made.action = action
    return made


def _message(error: ClientError | BotoCoreError) -> str:
    if isinstance(error, ClientError):
        response: Mapping[str, Any] = getattr(error, "response", None) or {}
        return str((response.get("Error") or {}).get("Message") or "")
    return str(error)


def _request_id(error: ClientError | BotoCoreError) -> str | None:
    response: Mapping[str, Any] = getattr(error, "response", None) or {}
    found = (response.get("ResponseMetadata") or {}).get("RequestId")
    return str(found) if found else None


def _unknown_parameter(service: str, operation: str, text: str) -> str:
    names = re.findall(r'Unknown parameter in (\S+): "([^"]+)"', text)
    listed = ", ".join(member if where in {"input:", "input"} else f"{where}.{member}" for where, member in names)
    return f"the request member {listed or 'named'} of {service}:{operation}"


# ---- denials

_ACTION: Final = re.compile(r"not authorized to perform:? ([a-z0-9-]+:[A-Za-z]+)")


def _denied_action(text: str) -> str | None:
    found = _ACTION.search(text)
    return found[1] if found else None


def _advice(fault: Fault, action: str | None, attempts: int) -> str:
    tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    match fault.kind.__name__:
        case "Denied":
            return f"allow {action} for this principal on this resource, in its policies and in any boundary above"
        case "NotFound":
            return "check name, account and region" if fault.code != "LayerInaccessibleException" else "push it again"
        case "CredentialsMissing":
            return "sign in again or name other credentials; nothing was done"
        case "Throttled":
            return f"still throttled after {tries}; lower `workers` or raise `attempts`"
        case "QuotaExceeded":
            return "a hard quota, so a repeat cannot help; remove something or ask for a higher quota"
        case "Conflict":
            return "read the current state and decide again"
        case "Unavailable":
            return f"gave up after {tries}; try again later"
        case _:
            return "correct the request; a repeat cannot help"


# ---- secrets

_SECRETS: Final = (
    # A signature fault quotes the canonical request, session token and credential scope included.
    (re.compile(r"(?is)\s*the canonical string for this request should have been.*"), " [canonical request cut]"),
    (re.compile(r"(?i)(x-amz-security-token|authorization|x-amz-signature|signature)(\s*[:=]\s*)\S+"), r"\1\2[cut]"),
    (re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{12,}\b"), r"\1[cut]"),
    (
        re.compile(r"(?i)(aws_?secret_?access_?key|secretAccessKey|sessionToken|password)(\W{1,4})[^\s\"',}]+"),
        r"\1\2[cut]",
    ),
)
_LONGEST: Final = 2000


def _clean(text: str) -> str:
    for pattern, kept in _SECRETS:
        text = pattern.sub(kept, text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def scrubbed(error: ClientError | BotoCoreError) -> ClientError | BotoCoreError:
    """Return the error fit to be a `__cause__`: itself, or a copy whose message has its secrets cut.

    A traceback prints its causes, so what is cut from the message must not come back there.
    """
    text = _message(error)
    if not isinstance(error, ClientError) or _clean(text) == text:
        return error
    response: dict[str, Any] = {**error.response, "Error": {**error.response.get("Error", {}), "Message": _clean(text)}}
    return ClientError(response, error.operation_name)  # type: ignore[arg-type]
