"""The registry protocol (OCI distribution, `/v2/`) over the engine, as far as ECR speaks it."""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from email.message import Message
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

import attrs

from ecrkit.local.events import Call
from ecrkit.local.faults import ServiceFault
from ecrkit.local.http_bodies import Body, Spool
from ecrkit.local.manifests import DIGEST, OCI_INDEX
from ecrkit.local.registry_errors import RegistryError, as_registry_error, upstream_error
from ecrkit.local.wire import Answer
from ecrkit.refs import RegistryHost

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState

__all__ = ["RegistryV2", "Request", "ranged"]

_ROUTE: Final = re.compile(
    r"/v2/(?P<name>.+?)/(?:manifests/(?P<manifest>[^/]+)|blobs/uploads/(?P<upload>[^/]*)|blobs/(?P<blob>[^/]+)"
    r"|tags/(?P<tags>list)|referrers/(?P<referrers>[^/]+))"
)
_RANGE: Final = re.compile(r"bytes=(?P<first>[0-9]*)-(?P<last>[0-9]*)")
_CONTENT_RANGE: Final = re.compile(r"(?:bytes[ =])?(?P<first>[0-9]+)-(?P<last>[0-9]+)(?:/.*)?")
_PAGE: Final = 1000
_MANIFEST_LIMIT: Final = 4_194_304


@attrs.frozen(kw_only=True)
class Request:
    """A request to the registry protocol. `body` is read by the one who handles it."""

    method: str
    target: str
    headers: Message[str, str]
    body: Body

    @property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(urlsplit(self.target).path)

    def query(self, name: str) -> str | None:
        """Return the first value of a query parameter, or None."""
        values = parse_qs(urlsplit(self.target).query, keep_blank_values=True).get(name)
        return values[0] if values else None


@attrs.frozen(kw_only=True)
class _Session:
    """Who asks, and the registry that is asked."""

    engine: Engine
    account: str
    caller: str
    registry: RegistryState

    def call(self, operation: str, **params: Any) -> dict[str, Any]:
        # Through the engine's front door: hooks see docker's calls under the names of the permissions they need.
        return self.engine.call(
            operation,
            {"registryId": self.registry.account, **params},
            account=self.account,
            region=self.registry.region,
            caller=self.caller,
        )

    def authorize(self, operation: str, name: str) -> None:
        """Refuse what the caller may not do, for steps of the protocol that are no calls of the API."""
        guard = self.engine.enforcement
        if guard is not None:
            params = {"registryId": self.registry.account, "repositoryName": name}
            guard.check(
                self.engine,
                Call(
                    operation=operation, account=self.account, region=self.registry.region,
                    time=self.engine.clock.now(), caller=self.caller, params=params,
                ),
            )  # fmt: skip


def _answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(
        status=status,
        headers={"Docker-Distribution-Api-Version": "registry/2.0", **named, "Content-Length": str(len(body))},
        body=body,
    )


def _json(status: int, document: object, **headers: str) -> Answer:
    body = json.dumps(document, separators=(",", ":")).encode()
    return _answer(status, body, **{"Content_Type": "application/json", **headers})


def _limit(asked: str | None) -> int:
    if asked is None:
        return _PAGE
    if not (asked.isascii() and asked.isdigit()) or not 0 <= int(asked) <= _PAGE:
        raise RegistryError(400, "PAGINATION_NUMBER_INVALID", f"n must be a number from 0 to {_PAGE}")
    return int(asked)


class RegistryV2:
    """Answers docker, skopeo, oras and other registry clients out of an engine.

    A password of GetAuthorizationToken decides account and region; a `Host` header that is an ECR host name picks
    another registry. Uploads are spooled to a temporary file; the engine gets the bytes once they are complete.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._spools: dict[str, Spool] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Drop unfinished uploads."""
        with self._lock:
            spools = list(self._spools.values())
            self._spools.clear()
        for spool in spools:
            spool.close()

    def answer(self, request: Request) -> Answer:
        """Return the answer; a refusal is an answer too."""
        name = ""
        try:
            session = self._session(request)
            if request.path in ("/v2", "/v2/"):
                return _answer(200, b"", Content_Type="text/plain; charset=utf-8")
            if request.path == "/v2/_catalog":
                return self._catalog(session, request)
            route = _ROUTE.fullmatch(request.path)
            if route is None:
                raise RegistryError(404, "UNSUPPORTED", f"no such resource: {request.path}")
            name = route["name"]
            if route["manifest"] is not None:
                return self._manifest(session, request, name, route["manifest"])
            if route["upload"] is not None:
                return self._upload(session, request, name, route["upload"])
            if route["blob"] is not None:
                return self._blob(session, request, name, route["blob"])
            if route["tags"] is not None:
                return self._tags(session, request, name)
            return self._referrers(session, request, name, route["referrers"])
        except RegistryError as error:
            return error.answer()
        except ServiceFault as fault:
            return as_registry_error(fault, name).answer()

    # -- who asks -------------------------------------------------------------------------------------------------

    def _session(self, request: Request) -> _Session:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        host = request.headers.get("Host", "") or "localhost"
        challenge = f'Basic realm="http://{host}/",service="ecr.amazonaws.com"'
        try:
            user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            user, colon, password = "", "", ""
        if scheme.lower() != "basic" or user != "AWS" or not colon:
            raise RegistryError(401, "UNAUTHORIZED", "Not Authorized", {"WWW-Authenticate": challenge})
        token = self._engine.issued_token(password)
        if token is None:
            raise RegistryError(
                401, "UNAUTHORIZED", "Your Authorization Token is invalid.", {"WWW-Authenticate": challenge}
            )
        account, region, caller, expired = token
        try:
            asked = RegistryHost.parse(host)
        except ValueError:
            asked = None
        target = (account, region)
        if asked is not None and asked.account is not None and asked.region is not None:
            target = (asked.account, asked.region)
        if expired or target[1] != region:
            # A token of another region is no token here; ECR answers both alike (access from docker's side).
            raise RegistryError(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
        return _Session(engine=self._engine, account=account, caller=caller, registry=self._engine.registry(*target))

    # -- manifests ------------------------------------------------------------------------------------------------

    def _manifest(self, session: _Session, request: Request, name: str, reference: str) -> Answer:
        if request.method in ("GET", "HEAD"):
            return self._get_manifest(session, name, reference)
        if request.method == "PUT":
            return self._put_manifest(session, request, name, reference)
        if request.method == "DELETE":
            return self._delete_manifest(session, name, reference)
        raise _not_allowed(request)

    @staticmethod
    def _image_id(reference: str) -> dict[str, str]:
        if ":" not in reference:
            return {"imageTag": reference}
        if not DIGEST.fullmatch(reference):
            raise RegistryError(400, "DIGEST_INVALID", f"{reference} is no sha256 digest")
        return {"imageDigest": reference}

    def _get_manifest(self, session: _Session, name: str, reference: str) -> Answer:
        asked = self._image_id(reference)
        found = session.call("BatchGetImage", repositoryName=name, imageIds=[asked])
        if not found["images"]:
            failure = found["failures"][0]
            message = failure["failureReason"]
            if failure["failureCode"] == "ImageNotFound":
                message = f"Requested image not found: {name} {reference}"
            raise upstream_error(failure["failureCode"], message) or RegistryError(404, "MANIFEST_UNKNOWN", message)
        image = found["images"][0]
        return _answer(
            200,
            image["imageManifest"].encode("utf-8", "surrogatepass"),
            Content_Type=image["imageManifestMediaType"],
            Docker_Content_Digest=image["imageId"]["imageDigest"],
        )

    def _put_manifest(self, session: _Session, request: Request, name: str, reference: str) -> Answer:
        asked = self._image_id(reference)
        if request.body.length > _MANIFEST_LIMIT:
            raise RegistryError(413, "MANIFEST_INVALID", f"a manifest has at most {_MANIFEST_LIMIT} bytes")
        try:
            text = request.body.read().decode()
        except UnicodeDecodeError:
            raise RegistryError(400, "MANIFEST_INVALID", "the manifest is not UTF-8") from None
        params: dict[str, Any] = {"repositoryName": name, "imageManifest": text, **asked}
        media_type = request.headers.get("Content-Type", "").partition(";")[0].strip()
        if media_type and media_type != "application/json":
            params["imageManifestMediaType"] = media_type
        try:
            digest = session.call("PutImage", **params)["image"]["imageId"]["imageDigest"]
        except ServiceFault as fault:
            if fault.code != "ImageAlreadyExistsException":
                raise
            # The protocol's PUT is idempotent: the image is there under this reference already.
            # Read from the state: whoever may push need not be allowed to describe.
            repo = session.registry.repository(name)
            digest = asked.get("imageDigest") or repo.tag_to_digest[asked["imageTag"]]
        headers = {"Location": f"/v2/{name}/manifests/{digest}", "Docker_Content_Digest": digest}
        subject = session.registry.repository(name).images[digest].manifest.subject
        if subject is not None:
            headers["OCI_Subject"] = subject
        return _answer(201, b"", **headers)

    def _delete_manifest(self, session: _Session, name: str, reference: str) -> Answer:
        asked = self._image_id(reference)
        found = session.call("BatchDeleteImage", repositoryName=name, imageIds=[asked])
        for failure in found["failures"]:
            if failure["failureCode"] == "ImageNotFound":
                raise RegistryError(404, "MANIFEST_UNKNOWN", f"Requested image not found: {name} {reference}")
            raise RegistryError(403, "DENIED", failure["failureReason"])
        return _answer(202)

    # -- blobs ----------------------------------------------------------------------------------------------------

    def _blob(self, session: _Session, request: Request, name: str, digest: str) -> Answer:
        if not DIGEST.fullmatch(digest):
            raise RegistryError(400, "DIGEST_INVALID", f"{digest} is no sha256 digest")
        if request.method == "HEAD":
            layer = session.call("BatchCheckLayerAvailability", repositoryName=name, layerDigests=[digest])["layers"][0]
            if layer["layerAvailability"] != "AVAILABLE":
                raise _blob_unknown(digest)
            return Answer(
                status=200,
                headers={
                    "Docker-Distribution-Api-Version": "registry/2.0",
                    "Content-Type": "application/octet-stream",
                    "Docker-Content-Digest": digest,
                    "Accept-Ranges": "bytes",
                    "Content-Length": str(layer["layerSize"]),
                },
                body=b"",
            )
        if request.method == "GET":
            session.call("GetDownloadUrlForLayer", repositoryName=name, layerDigest=digest)
            data = session.registry.blob(name, digest)
            if data is None:
                raise _blob_unknown(digest)
            return ranged(data, request.headers.get("Range"), digest)
        raise _not_allowed(request)

    # -- uploads --------------------------------------------------------------------------------------------------

    def _upload(self, session: _Session, request: Request, name: str, upload_id: str) -> Answer:
        if not upload_id:
            if request.method != "POST":
                raise _not_allowed(request)
            return self._start_upload(session, request, name)
        spool = self._spool(session, name, upload_id)
        if request.method == "GET":
            return self._progress(204, name, upload_id, spool)
        if request.method == "PATCH":
            session.authorize("UploadLayerPart", name)
            self._receive(request, spool)
            return self._progress(202, name, upload_id, spool)
        if request.method == "PUT":
            session.authorize("UploadLayerPart", name)
            self._receive(request, spool)
            return self._finish(session, request, name, upload_id, spool)
        if request.method == "DELETE":
            session.authorize("InitiateLayerUpload", name)
            session.registry.cancel_upload(name, upload_id)
            self._forget(upload_id)
            return _answer(204)
        raise _not_allowed(request)

    def _start_upload(self, session: _Session, request: Request, name: str) -> Answer:
        mount, source = request.query("mount"), request.query("from")
        if mount is not None:
            if not DIGEST.fullmatch(mount):
                raise RegistryError(400, "DIGEST_INVALID", f"{mount} is no sha256 digest")
            if (
                source is not None
                and self._may_mount(session, name, source)
                and session.registry.mount_blob(name, mount, source)
            ):
                return _created_blob(name, mount)
        upload_id: str = session.call("InitiateLayerUpload", repositoryName=name)["uploadId"]
        spool = Spool()
        with self._lock:
            self._spools[upload_id] = spool
        if request.query("digest") is not None:
            session.authorize("UploadLayerPart", name)
            self._receive(request, spool)
            return self._finish(session, request, name, upload_id, spool)
        return self._progress(202, name, upload_id, spool)

    @staticmethod
    def _may_mount(session: _Session, name: str, source: str) -> bool:
        # A mount reads the source and writes the target; one that is refused there falls back to an upload.
        session.authorize("InitiateLayerUpload", name)
        try:
            session.authorize("GetDownloadUrlForLayer", source)
        except ServiceFault:
            return False
        return True

    def _spool(self, session: _Session, name: str, upload_id: str) -> Spool:
        try:
            session.registry.upload(name, upload_id)
        except ServiceFault:
            self._forget(upload_id)  # the engine was reset
            raise
        with self._lock:
            found = self._spools.get(upload_id)
        if found is None:
            raise RegistryError(404, "BLOB_UPLOAD_UNKNOWN", f"the upload {upload_id} did not begin in this protocol")
        return found

    def _forget(self, upload_id: str) -> None:
        with self._lock:
            spool = self._spools.pop(upload_id, None)
        if spool is not None:
            spool.close()

    @staticmethod
    def _receive(request: Request, spool: Spool) -> None:
        stated = request.headers.get("Content-Range")
        if stated is not None:
            found = _CONTENT_RANGE.fullmatch(stated.strip())
            if found is None or int(found["first"]) != spool.size:
                raise RegistryError(
                    416,
                    "BLOB_UPLOAD_INVALID",
                    f"the next byte is {spool.size}",
                    {"Range": f"0-{max(spool.size - 1, 0)}"},
                )
        for piece in request.body.pieces():
            spool.append(piece)

    def _finish(self, session: _Session, request: Request, name: str, upload_id: str, spool: Spool) -> Answer:
        digest = request.query("digest") or ""
        if not DIGEST.fullmatch(digest):
            raise RegistryError(400, "DIGEST_INVALID", "the query parameter digest must be a sha256 digest")
        session.authorize("CompleteLayerUpload", name)
        session.registry.cancel_upload(name, upload_id)
        try:
            session.registry.put_blob(name, digest, spool.read())  # refuses bytes of another digest
        finally:
            self._forget(upload_id)
        return _created_blob(name, digest)

    @staticmethod
    def _progress(status: int, name: str, upload_id: str, spool: Spool) -> Answer:
        return _answer(
            status,
            b"",
            Location=f"/v2/{name}/blobs/uploads/{upload_id}",
            Docker_Upload_UUID=upload_id,
            Range=f"0-{max(spool.size - 1, 0)}",
        )

    # -- lists ----------------------------------------------------------------------------------------------------

    def _catalog(self, session: _Session, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            raise _not_allowed(request)
        names = [r["repositoryName"] for r in _all(session, "DescribeRepositories", "repositories")]
        return self._page(request, "repositories", names, {})

    def _tags(self, session: _Session, request: Request, name: str) -> Answer:
        if request.method not in ("GET", "HEAD"):
            raise _not_allowed(request)
        images = _all(session, "ListImages", "imageIds", repositoryName=name, filter={"tagStatus": "TAGGED"})
        return self._page(request, "tags", [i["imageTag"] for i in images], {"name": name})

    @staticmethod
    def _page(request: Request, member: str, found: list[str], extra: dict[str, str]) -> Answer:
        size, last = _limit(request.query("n")), request.query("last")
        rest = sorted(item for item in found if last is None or item > last)
        shown = rest[:size]
        headers: dict[str, str] = {}
        if shown and len(rest) > size:
            following = f"{quote(request.path)}?n={size}&last={quote(shown[-1], safe='')}"
            headers["Link"] = f'<{following}>; rel="next"'
        return _json(200, {**extra, member: shown}, **headers)

    def _referrers(self, session: _Session, request: Request, name: str, subject: str) -> Answer:
        if request.method not in ("GET", "HEAD"):
            raise _not_allowed(request)
        if not DIGEST.fullmatch(subject):
            raise RegistryError(400, "DIGEST_INVALID", f"{subject} is no sha256 digest")
        wanted = request.query("artifactType")
        params: dict[str, Any] = {"repositoryName": name, "subjectId": {"imageDigest": subject}}
        if wanted:
            params["filter"] = {"artifactTypes": [wanted]}
        entries = _all(session, "ListImageReferrers", "referrers", size=50, **params)
        manifests = [{k: v for k, v in entry.items() if k != "artifactStatus"} for entry in entries]
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
        headers = {"Content_Type": OCI_INDEX, **({"OCI_Filters_Applied": "artifactType"} if wanted else {})}
        return _json(200, document, **headers)


def _all(session: _Session, operation: str, member: str, *, size: int = 1000, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    token: dict[str, str] = {}
    while True:
        page = session.call(operation, **params, maxResults=size, **token)
        found += page[member]
        if "nextToken" not in page:
            return found
        token = {"nextToken": page["nextToken"]}


def ranged(data: bytes, asked: str | None, digest: str) -> Answer:
    """Return the blob, or the part of it that a `Range` header of one range names (RFC 9110, section 14)."""
    found = None if asked is None else _RANGE.fullmatch(asked.strip())
    shared = {
        "Content_Type": "application/octet-stream",
        "Docker_Content_Digest": digest,
        "Accept_Ranges": "bytes",
    }
    if found is None or not (found["first"] or found["last"]):
        return _answer(200, data, **shared)
    if found["first"]:
        first, last = int(found["first"]), int(found["last"] or len(data))
    else:
        first, last = max(len(data) - int(found["last"]), 0), len(data)
    last = min(last, len(data) - 1)
    if first > last:
        return _answer(416, b"", Content_Range=f"bytes */{len(data)}")
    return _answer(206, data[first : last + 1], **shared, Content_Range=f"bytes {first}-{last}/{len(data)}")


def _created_blob(name: str, digest: str) -> Answer:
    return _answer(201, b"", Location=f"/v2/{name}/blobs/{digest}", Docker_Content_Digest=digest)


def _blob_unknown(digest: str) -> RegistryError:
    return RegistryError(404, "BLOB_UNKNOWN", f"blob unknown to registry: {digest}")


def _not_allowed(request: Request) -> RegistryError:
    return RegistryError(405, "UNSUPPORTED", f"{request.method} is not supported for {request.path}")
