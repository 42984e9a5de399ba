"""One registry: an account in one region, with its repositories, blobs, uploads and settings."""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import TYPE_CHECKING, Any, NoReturn

from ecrkit.local.faults import refuse
from ecrkit.local.state import Blob, RepositoryState, Upload
from ecrkit.refs import RegistryHost, partition_of_region

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine

__all__ = ["RegistryState"]

_NAMESPACE = uuid.UUID("6f5d1e0c-3f5a-5d0b-9d43-0f6d7c1f4ec2")


class RegistryState:
    """The registry of one account in one region. Methods take the engine's lock; `extra` is room for later domains.

    Blobs are content-addressed and belong to a repository, as in ECR: the same bytes in two repositories are stored
    twice unless one mounted them from the other.
    """

    def __init__(self, engine: Engine, account: str, region: str) -> None:
        self.engine = engine
        self.account = account
        self.region = region
        self.host = str(RegistryHost.private(account, region))
        self.partition = partition_of_region(region)
        self.repositories: dict[str, RepositoryState] = {}
        self.uploads: dict[str, Upload] = {}
        self.settings: dict[str, str] = {
            "BASIC_SCAN_TYPE_VERSION": "AWS_NATIVE",
            "BLOB_MOUNTING": "DISABLED",
            "REGISTRY_POLICY_SCOPE": "V2",
        }
        self.policy_text: str | None = None
        self.replication: dict[str, Any] = {"rules": []}
        self.pull_time_exclusions: dict[str, Any] = {}
        self.extra: dict[str, Any] = {}
        self._uploads_started = 0

    def arn(self, repository: str) -> str:
        """Return the ARN that a repository of that name has here."""
        return f"arn:{self.partition}:ecr:{self.region}:{self.account}:repository/{repository}"

    def repository(self, name: str) -> RepositoryState:
        """Return the repository.

        Raises:
            ServiceFault: RepositoryNotFoundException.
        """
        found = self.repositories.get(name)
        if found is None:
            refuse(
                "RepositoryNotFoundException",
                f"The repository with name '{name}' does not exist in the registry with id '{self.account}'",
            )
        return found

    def blob(self, repository: str, digest: str) -> bytes | None:
        """Return the bytes of a blob, or None when the repository has no such blob (or only its declared size)."""
        with self.engine.lock:
            found = self.repository(repository).blobs.get(digest)
            return None if found is None else found.data

    def put_blob(self, repository: str, digest: str, data: bytes) -> str:
        """Store a blob under its digest; a blob that is there already stays. Return the digest.

        Raises:
            ServiceFault: InvalidLayerException when the bytes do not have that digest, RepositoryNotFoundException.
        """
        with self.engine.lock:
            repo = self.repository(repository)
            actual = "sha256:" + hashlib.sha256(data).hexdigest()
            if actual != digest.lower():
                refuse(
                    "InvalidLayerException",
                    f"The layer digest '{digest}' does not match the digest '{actual}' that was calculated on receipt",
                )
            return self.store_blob(repo.name, actual, data)

    def store_blob(self, repository: str, digest: str, data: bytes) -> str:
        """Store a blob whose bytes were hashed before; one that is there already stays. Return the digest."""
        with self.engine.lock:
            repo = self.repository(repository)
            known = repo.blobs.get(digest)
            if known is None:
                repo.blobs[digest] = Blob(digest=digest, size=len(data), data=bytes(data))
            elif known.data is None:
                known.data, known.size = bytes(data), len(data)
            return digest

    def declare_blob(self, repository: str, digest: str, size: int, media_type: str | None = None) -> None:
        """Say that a blob of that size is there, without its bytes: for registries rebuilt from API answers."""
        with self.engine.lock:
            repo = self.repository(repository)
            repo.blobs.setdefault(digest, Blob(digest=digest, size=size, data=None, media_type=media_type))

    def stored_bytes(self, repository: str) -> int:
        """Return the bytes of all blobs that images of the repository use, each counted once."""
        with self.engine.lock:
            return sum(blob.size for blob in self.repository(repository).blobs.values() if blob.users)

    def start_upload(self, repository: str) -> str:
        """Begin a layer upload; return its id. A CREATE_ON_PUSH template makes the repository when it is not there."""
        with self.engine.lock:
            self._push_target(repository)
            self._uploads_started += 1
            name = f"{self.account}/{self.region}/{repository}/{self._uploads_started}"
            upload = Upload(upload_id=str(uuid.uuid5(_NAMESPACE, name)), repository=repository)
            self.uploads[upload.upload_id] = upload
            return upload.upload_id

    def _push_target(self, name: str) -> RepositoryState:
        if name not in self.repositories:
            from ecrkit.local.templates import apply_template, template_for

            if template_for(self, name, "CREATE_ON_PUSH") is not None:
                return apply_template(self.engine, self, name, "CREATE_ON_PUSH")
        return self.repository(name)

    def upload(self, repository: str, upload_id: str) -> Upload:
        """Return the upload.

        Raises:
            ServiceFault: UploadNotFoundException when there is none of that id for the repository.
        """
        with self.engine.lock:
            found = self.uploads.get(upload_id.lower())
            if found is None or found.repository != repository:
                self._no_upload(repository, upload_id)
            return found

    def _no_upload(self, repository: str, upload_id: str) -> NoReturn:
        refuse(
            "UploadNotFoundException",
            f"An upload with ID '{upload_id}' cannot be found for the repository with name '{repository}' in the "
            f"registry with id '{self.account}'",
        )

    def append_upload(self, repository: str, upload_id: str, data: bytes) -> int:
        """Add bytes to an upload; return the bytes received so far. Sizes of parts are the caller's rule."""
        with self.engine.lock:
            return self.upload(repository, upload_id).append(data)

    def upload_size(self, repository: str, upload_id: str) -> int:
        """Return the bytes an upload has received."""
        return self.upload(repository, upload_id).size

    def finish_upload(self, repository: str, upload_id: str, digest: str, data: bytes = b"") -> str:
        """Add last bytes, check the digest, store the blob, end the upload; return the digest.

        A wrong digest keeps nothing: the upload is over.
        """
        with self.engine.lock:
            upload = self.upload(repository, upload_id)
            del self.uploads[upload.upload_id]
            return self.put_blob(repository, digest, b"".join(upload.parts) + data)

    def cancel_upload(self, repository: str, upload_id: str) -> None:
        """Drop an upload."""
        with self.engine.lock:
            del self.uploads[self.upload(repository, upload_id).upload_id]

    def mount_blob(self, repository: str, digest: str, source: str) -> bool:
        """Take a blob over from another repository of this registry; return whether that was possible.

        ECR mounts when the account setting BLOB_MOUNTING is ENABLED and both repositories use the same encryption
        type and key (ECR user guide, blob mounting). Otherwise the client uploads the bytes, as after any False.
        """
        with self.engine.lock:
            target = self._push_target(repository)
            if digest in target.blobs:
                return True
            origin = self.repositories.get(source)
            if self.settings["BLOB_MOUNTING"] != "ENABLED" or origin is None or origin.encryption != target.encryption:
                return False
            blob = origin.blobs.get(digest)
            if blob is None:
                return False
            target.blobs[digest] = Blob(digest=digest, size=blob.size, data=blob.data, media_type=blob.media_type)
            return True


ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):ecr:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):repository/(?P<name>.+)"
)
