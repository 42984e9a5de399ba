"""A bucket as a store of objects that are written once: what the scan archive writes to and reads from."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from botocore.exceptions import BotoCoreError
from typing_extensions import override

from ecrkit.aws.calls import Caller
from ecrkit.aws.faults import error_from, scrubbed
from ecrkit.aws.iam import needs
from ecrkit.errors import AwsCallFailed, InvalidInput, Unavailable
from ecrkit.scanning.archive.objects import BucketLock, LockMode

__all__ = ["S3Objects"]

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_GONE: Final = ("404", "NoSuchKey", "NotFound")
_CONFLICTS: Final = 5


class S3Objects:
    """The objects of one bucket. Threads may share it.

    `owner` is the account that must own the bucket, sent as ExpectedBucketOwner so that a bucket of somebody else with
    that name gets nothing. `kms_key` encrypts with that key; without it the bucket's default applies.
    Source: S3 API reference, PutObject, HeadObject, GetObjectLockConfiguration; S3 user guide, conditional writes.
    """

    def __init__(self, caller: Caller, bucket: str, *, owner: str | None = None, kms_key: str | None = None) -> None:
        if not _BUCKET.fullmatch(bucket):
            raise InvalidInput.single("no bucket", "bucket", f"is no name of a bucket: {bucket!r:.80}")
        self._caller = caller
        self.bucket = bucket
        self._owner = owner
        self._kms_key = kms_key

    @needs("s3:PutObject", "s3:PutObjectRetention")
    def put_new(
        self, key: str, body: bytes, *, retain_until: dt.datetime | None = None, mode: LockMode | None = None
    ) -> bool:
        """Write the object with its SHA-256 unless the key exists; return whether it was written.

        S3 checks the checksum and refuses a body that arrived changed. `s3:PutObjectRetention` is needed with a
        retention only.

        Raises:
            InvalidInput: only one of `retain_until` and `mode` is given.
            AwsCallFailed: S3 refused, for example a retention in a bucket without Object Lock.
        """
        if (retain_until is None) != (mode is None):
            raise InvalidInput.single("no retention", "retain_until", "goes together with mode")
        asked: dict[str, Any] = {
            "Key": key,
            "Body": body,
            "ContentType": "application/x-ndjson" if b"\n" in body else "application/json",
            "ChecksumAlgorithm": "SHA256",
            "IfNoneMatch": "*",
        }
        if retain_until is not None:
            asked |= {"ObjectLockMode": mode, "ObjectLockRetainUntilDate": retain_until}
        if self._kms_key is not None:
            asked |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self._kms_key}
        for attempt in range(1, _CONFLICTS + 1):
            try:
                self._call("PutObject", asked)
            except AwsCallFailed as fault:
                if fault.code == "PreconditionFailed":
                    return False
                # Another write of the key is under way; S3 asks to repeat, and then says which one was first.
                if fault.code != "ConditionalRequestConflict" or attempt == _CONFLICTS:
                    raise
                self._caller.clock.sleep(0.1 * 2**attempt)
            else:
                return True
        raise AssertionError("unreachable")

    @needs("s3:GetObject", "s3:ListBucket")
    def sha256(self, key: str) -> str | None:
        """Return the SHA-256 of an object as hexadecimal digits, or None when there is no such object.

        S3 keeps the checksum it was given; an object without one is downloaded. Without `s3:ListBucket` S3 answers 403
        for a missing object, which raises Denied.
        """
        try:
            answer = self._call("HeadObject", {"Key": key, "ChecksumMode": "ENABLED"})
        except AwsCallFailed as fault:
            if fault.code in _GONE:
                return None
            raise
        told = answer.get("ChecksumSHA256")
        if isinstance(told, str) and answer.get("ChecksumType") != "COMPOSITE":
            try:
                return base64.b64decode(told, validate=True).hex()
            except binascii.Error:
                pass
        body = self.get(key)
        return None if body is None else hashlib.sha256(body).hexdigest()

    @needs("s3:GetObject", "s3:ListBucket")
    def get(self, key: str) -> bytes | None:
        """Return the body of an object, or None when there is no such object.

        Raises:
            Unavailable: the download broke off.
        """
        try:
            answer = self._call("GetObject", {"Key": key, "ChecksumMode": "ENABLED"})
        except AwsCallFailed as fault:
            if fault.code in _GONE:
                return None
            raise
        try:
            body: bytes = answer["Body"].read()
        except BotoCoreError as error:
            found = error_from(error, service="s3", operation="GetObject", resource=f"s3://{self.bucket}/{key}")
            raise found from scrubbed(error)
        except OSError as error:
            raise Unavailable(
                f"s3 GetObject for s3://{self.bucket}/{key}: the download broke off: {error}",
                operation="GetObject", service="s3", code=type(error).__name__, resource=key,
            ) from error  # fmt: skip
        return body

    @needs("s3:ListBucket")
    def keys(self, prefix: str) -> Iterator[str]:
        """Yield every key that begins with the prefix, in S3's order, which is that of UTF-8 bytes."""
        asked: dict[str, Any] = {"Prefix": prefix}
        while True:
            answer = self._call("ListObjectsV2", asked)
            for entry in answer.get("Contents") or ():
                yield entry["Key"]
            token = answer.get("NextContinuationToken")
            if not answer.get("IsTruncated") or not token:
                return
            if token == asked.get("ContinuationToken"):
                raise AwsCallFailed(
                    "s3 ListObjectsV2: the service repeats a page token; the listing would never end",
                    operation="ListObjectsV2", service="s3", code="RepeatedPageToken", resource=self.bucket,
                )  # fmt: skip
            asked["ContinuationToken"] = token

    @needs("s3:GetBucketObjectLockConfiguration")
    def lock(self) -> BucketLock:
        """Return whether the bucket has Object Lock, and the retention it gives to objects that ask for none."""
        try:
            answer = self._call("GetObjectLockConfiguration", {})
        except AwsCallFailed as fault:
            if fault.code == "ObjectLockConfigurationNotFoundError":
                return BucketLock(enabled=False)
            raise
        found: Mapping[str, Any] = answer.get("ObjectLockConfiguration") or {}
        rule: Mapping[str, Any] = (found.get("Rule") or {}).get("DefaultRetention") or {}
        length = f"{rule['Days']} days" if "Days" in rule else f"{rule['Years']} years" if "Years" in rule else ""
        default = f"{rule.get('Mode')} for {length}" if length else None
        return BucketLock(enabled=found.get("ObjectLockEnabled") == "Enabled", default=default)

    def _call(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        asked = {"Bucket": self.bucket, **parameters}
        if self._owner is not None:
            asked["ExpectedBucketOwner"] = self._owner
        key = parameters.get("Key") or parameters.get("Prefix") or ""
        return self._caller.call(operation, asked, resource=f"s3://{self.bucket}/{key}")

    @override
    def __repr__(self) -> str:
        return f"<S3Objects s3://{self.bucket}>"
