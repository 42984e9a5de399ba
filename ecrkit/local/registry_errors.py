"""Refusals of the registry protocol: OCI error codes, and what ECR's own errors become there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from ecrkit.local.faults import ServiceFault
from ecrkit.local.wire import Answer

__all__ = ["RegistryError", "as_registry_error", "upstream_error"]

_CODES: Final[dict[str, tuple[int, str]]] = {
    "RepositoryNotFoundException": (404, "NAME_UNKNOWN"),
    "ImageNotFoundException": (404, "MANIFEST_UNKNOWN"),
    "ImageTagAlreadyExistsException": (400, "TAG_INVALID"),
    "ImageDigestDoesNotMatchException": (400, "DIGEST_INVALID"),
    "InvalidLayerException": (400, "DIGEST_INVALID"),
    "LayersNotFoundException": (404, "BLOB_UNKNOWN"),
    "LayerInaccessibleException": (404, "BLOB_UNKNOWN"),
    "ReferencedImagesNotFoundException": (400, "MANIFEST_BLOB_UNKNOWN"),
    "UploadNotFoundException": (404, "BLOB_UPLOAD_UNKNOWN"),
    "ThrottlingException": (429, "TOOMANYREQUESTS"),
    "LimitExceededException": (403, "DENIED"),
    "AccessDeniedException": (403, "DENIED"),
    "AccessDenied": (403, "DENIED"),
    "KmsException": (403, "DENIED"),
}


class RegistryError(Exception):
    """A refusal in the registry protocol: HTTP status, OCI error code, message, further headers."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    def answer(self) -> Answer:
        """Return the answer with the error document of the OCI distribution specification."""
        body = json.dumps({"errors": [{"code": self.code, "message": self.message}]}).encode()
        return Answer(
            status=self.status,
            headers={
                "Docker-Distribution-Api-Version": "registry/2.0",
                "Content-Type": "application/json",
                **self.headers,
                "Content-Length": str(len(body)),
            },
            body=body,
        )


def as_registry_error(fault: ServiceFault, repository: str) -> RegistryError:
    """Return what an API refusal is in the registry protocol; the message stays ECR's.

    Example:
        >>> as_registry_error(ServiceFault("RepositoryNotFoundException", "gone"), "app").code
        'NAME_UNKNOWN'
    """
    status, code = _CODES.get(fault.code, (fault.status, "UNKNOWN"))
    if fault.code == "LayersNotFoundException" and "required for pushing image" in fault.message:
        status, code = 400, "MANIFEST_BLOB_UNKNOWN"
    if fault.code == "InvalidParameterException":
        status, code = 400, "NAME_INVALID" if repository and "'repositoryName'" in fault.message else "MANIFEST_INVALID"
    return RegistryError(status, code, fault.message)


_UPSTREAM: Final[dict[str, tuple[int, str]]] = {
    "UpstreamAccessDenied": (403, "DENIED"),
    "UpstreamTooManyRequests": (429, "TOOMANYREQUESTS"),
    "UpstreamUnavailable": (404, "MANIFEST_UNKNOWN"),
}


def upstream_error(code: str, message: str) -> RegistryError | None:
    """Return what a failure of a pull-through cache's upstream is in the registry protocol; None for another failure.

    Example:
        >>> upstream_error("UpstreamTooManyRequests", "slower").status
        429
    """
    found = _UPSTREAM.get(code)
    return None if found is None else RegistryError(*found, message)
