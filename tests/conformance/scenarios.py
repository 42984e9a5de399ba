"""What ECR does, told once as short stories that any client can play: each takes a client and a world, returns answers.

The world sets the stage straight in the engine, so that a story costs few calls of the client under test. What a
story returns must be equal through every front; `plain` takes out what may differ (request ids, addresses).
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from ecrkit.local import Engine
from ecrkit.local.scans import finding, inject
from tests.support.lab import INDEX, OCI, sha

__all__ = ["SCENARIOS", "World", "plain"]

BIG = b"\0" * (5 * 1024 * 1024)


class World:
    """The engine behind the client, and short ways to fill it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self("CreateRepository", repositoryName="app")

    def __call__(self, operation: str, **params: Any) -> dict[str, Any]:
        return self.engine.call(operation, params)

    def blob(self, data: bytes, media: str = "application/vnd.oci.image.layer.v1.tar+gzip") -> dict[str, Any]:
        self.engine.registry().put_blob("app", sha(data), data)
        return {"mediaType": media, "digest": sha(data), "size": len(data)}

    def manifest(self, seed: str, **more: Any) -> str:
        config = self.blob(f"config {seed}".encode(), "application/vnd.oci.image.config.v1+json")
        layers = [self.blob(b"base"), self.blob(f"layer {seed}".encode())]
        return json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": layers, **more})

    def push(self, seed: str, *tags: str, **more: Any) -> str:
        text = self.manifest(seed, **more)
        for tag in tags or (None,):
            named = {} if tag is None else {"imageTag": tag}
            self("PutImage", repositoryName="app", imageManifest=text, **named)
        return sha(text)

    def index(self, *children: str) -> str:
        entries = [{"mediaType": OCI, "digest": child, "size": 1} for child in children]
        return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})

    def advance(self, **by: float) -> None:
        self.engine.advance(dt.timedelta(**by))


def plain(value: Any) -> Any:
    """Return answers without response metadata, with times as epoch seconds."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in sorted(value.items()) if name != "ResponseMetadata"}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return round(value.timestamp(), 3) if isinstance(value, dt.datetime) else value


def refused(call: Callable[..., Any], **params: Any) -> dict[str, str]:
    """Return code and message of a refusal; a call that succeeds is the failure."""
    try:
        answered = call(**params)
    except ClientError as error:
        return {name: error.response["Error"][name] for name in ("Code", "Message")}
    raise AssertionError(f"not refused: {answered}")


def repositories_come_and_go(ecr: Any, world: World) -> Any:
    made = ecr.create_repository(
        repositoryName="team/svc",
        imageTagMutability="IMMUTABLE",
        imageScanningConfiguration={"scanOnPush": True},
        tags=[{"Key": "team", "Value": "é"}],
    )
    assert made["repository"]["repositoryArn"] == "arn:aws:ecr:us-east-1:123456789012:repository/team/svc"
    gone = ecr.delete_repository(repositoryName="team/svc")
    return made, gone, refused(ecr.describe_repositories, repositoryNames=["team/svc"])


def a_name_is_taken(ecr: Any, world: World) -> Any:
    found = refused(ecr.create_repository, repositoryName="app")
    assert found["Code"] == "RepositoryAlreadyExistsException"
    return found


def a_full_repository_needs_force(ecr: Any, world: World) -> Any:
    world.push("a", "v1")
    found = refused(ecr.delete_repository, repositoryName="app")
    assert found["Code"] == "RepositoryNotEmptyException"
    return found, ecr.delete_repository(repositoryName="app", force=True)


def repositories_in_pages(ecr: Any, world: World) -> Any:
    for name in ("r1", "r2", "r3"):
        world("CreateRepository", repositoryName=name)
    first = ecr.describe_repositories(maxResults=3)
    second = ecr.describe_repositories(maxResults=3, nextToken=first["nextToken"])
    assert [r["repositoryName"] for r in first["repositories"] + second["repositories"]] == ["app", "r1", "r2", "r3"]
    assert "nextToken" not in second
    return first, second


def resource_tags(ecr: Any, world: World) -> Any:
    arn = "arn:aws:ecr:us-east-1:123456789012:repository/app"
    ecr.tag_resource(resourceArn=arn, tags=[{"Key": "env", "Value": "prod"}, {"Key": "owner", "Value": "a b"}])
    ecr.untag_resource(resourceArn=arn, tagKeys=["env"])
    found = ecr.list_tags_for_resource(resourceArn=arn)
    assert plain(found)["tags"] == [{"Key": "owner", "Value": "a b"}]
    return found


def repository_policy(ecr: Any, world: World) -> Any:
    text = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Sid": "pull", "Effect": "Allow", "Principal": "*", "Action": ["ecr:BatchGetImage"]}],
        }
    )
    before = refused(ecr.get_repository_policy, repositoryName="app")
    assert before["Code"] == "RepositoryPolicyNotFoundException"
    put = ecr.set_repository_policy(repositoryName="app", policyText=text)
    return (
        before,
        put,
        ecr.get_repository_policy(repositoryName="app"),
        ecr.delete_repository_policy(repositoryName="app"),
    )


def an_image_is_its_manifest(ecr: Any, world: World) -> Any:
    text = world.manifest("a", annotations={"n": "ü \u2028"})
    put = ecr.put_image(repositoryName="app", imageManifest=text, imageTag="v1")
    assert put["image"]["imageId"]["imageDigest"] == sha(text)
    got = ecr.batch_get_image(repositoryName="app", imageIds=[{"imageTag": "v1"}])
    assert got["images"][0]["imageManifest"] == text
    return put, got


def the_same_image_again(ecr: Any, world: World) -> Any:
    text = world.manifest("a")
    world.push("a", "v1")
    found = refused(ecr.put_image, repositoryName="app", imageManifest=text, imageTag="v1")
    assert found["Code"] == "ImageAlreadyExistsException"
    return found


def a_tag_moves(ecr: Any, world: World) -> Any:
    first = world.push("a", "latest")
    moved = ecr.put_image(repositoryName="app", imageManifest=world.manifest("b"), imageTag="latest")
    left = ecr.describe_images(repositoryName="app", imageIds=[{"imageDigest": first}])
    assert "imageTags" not in left["imageDetails"][0]
    return moved, left


def an_immutable_tag_stays(ecr: Any, world: World) -> Any:
    world.push("a", "v1")
    ecr.put_image_tag_mutability(repositoryName="app", imageTagMutability="IMMUTABLE")
    found = refused(ecr.put_image, repositoryName="app", imageManifest=world.manifest("b"), imageTag="v1")
    assert found["Code"] == "ImageTagAlreadyExistsException"
    return found


def exclusions_from_immutability(ecr: Any, world: World) -> Any:
    world.push("a", "dev-1", "v1")
    put = ecr.put_image_tag_mutability(
        repositoryName="app",
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "dev-*"}],
    )
    text = world.manifest("b")
    moved = ecr.put_image(repositoryName="app", imageManifest=text, imageTag="dev-1")
    return put, moved, refused(ecr.put_image, repositoryName="app", imageManifest=text, imageTag="v1")


def a_wrong_digest_is_refused(ecr: Any, world: World) -> Any:
    found = refused(
        ecr.put_image, repositoryName="app", imageManifest=world.manifest("a"), imageDigest="sha256:" + "0" * 64
    )
    assert found["Code"] == "ImageDigestDoesNotMatchException"
    return found


def missing_layers_are_named(ecr: Any, world: World) -> Any:
    absent = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha(b"absent"), "size": 6}
    text = json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": absent, "layers": []})
    found = refused(ecr.put_image, repositoryName="app", imageManifest=text)
    assert found["Code"] == "LayersNotFoundException" and sha(b"absent") in found["Message"]
    return found


def an_index_holds_its_children(ecr: Any, world: World) -> Any:
    child = world.push("a")
    put = ecr.put_image(repositoryName="app", imageManifest=world.index(child), imageTag="multi")
    held = ecr.batch_delete_image(repositoryName="app", imageIds=[{"imageDigest": child}])
    assert held["failures"][0]["failureCode"] == "ImageReferencedByManifestList"
    missing = refused(ecr.put_image, repositoryName="app", imageManifest=world.index("sha256:" + "1" * 64))
    assert missing["Code"] == "ReferencedImagesNotFoundException"
    return put, held, missing


def failures_beside_images(ecr: Any, world: World) -> Any:
    digest = world.push("a", "v1")
    got = ecr.batch_get_image(
        repositoryName="app",
        imageIds=[
            {"imageTag": "v1"},
            {"imageTag": "none"},
            {"imageDigest": digest, "imageTag": "other"},
        ],
    )
    assert [f["failureCode"] for f in got["failures"]] == ["ImageNotFound", "ImageTagDoesNotMatchDigest"]
    return got


def images_in_pages(ecr: Any, world: World) -> Any:
    digests = sorted(world.push(str(n), f"v{n}") for n in range(5))
    first = ecr.describe_images(repositoryName="app", maxResults=3)
    second = ecr.describe_images(repositoryName="app", maxResults=3, nextToken=first["nextToken"])
    assert [d["imageDigest"] for d in first["imageDetails"] + second["imageDetails"]] == digests
    return first, second


def ids_by_tag_status(ecr: Any, world: World) -> Any:
    world.push("a", "v1", "v2")
    bare = world.push("b")
    tagged = ecr.list_images(repositoryName="app", filter={"tagStatus": "TAGGED"})
    untagged = ecr.list_images(repositoryName="app", filter={"tagStatus": "UNTAGGED"})
    assert [i["imageTag"] for i in tagged["imageIds"]] == ["v1", "v2"]
    assert plain(untagged)["imageIds"] == [{"imageDigest": bare}]
    return tagged, untagged


def deleting_tags_and_images(ecr: Any, world: World) -> Any:
    digest = world.push("a", "v1", "v2")
    by_tag = ecr.batch_delete_image(repositoryName="app", imageIds=[{"imageTag": "v1"}])
    by_digest = ecr.batch_delete_image(repositoryName="app", imageIds=[{"imageDigest": digest}, {"imageTag": "no"}])
    return by_tag, by_digest, refused(ecr.describe_images, repositoryName="app", imageIds=[{"imageDigest": digest}])


def a_layer_goes_up(ecr: Any, world: World) -> Any:
    tail = bytes(range(256))
    digest = sha(BIG + tail)
    upload = ecr.initiate_layer_upload(repositoryName="app")["uploadId"]
    same = {"repositoryName": "app", "uploadId": upload}
    ecr.upload_layer_part(**same, partFirstByte=0, partLastByte=len(BIG) - 1, layerPartBlob=BIG)
    gap = refused(ecr.upload_layer_part, **same, partFirstByte=9, partLastByte=264, layerPartBlob=tail)
    assert gap["Code"] == "InvalidLayerPartException"
    last = len(BIG) + len(tail) - 1
    part = ecr.upload_layer_part(**same, partFirstByte=len(BIG), partLastByte=last, layerPartBlob=tail)
    done = ecr.complete_layer_upload(**same, layerDigests=[digest])
    assert done["layerDigest"] == digest and world.engine.registry().blob("app", digest) == BIG + tail
    return gap, part, done


def layers_that_are_there(ecr: Any, world: World) -> Any:
    world.push("a", "v1")
    found = ecr.batch_check_layer_availability(
        repositoryName="app", layerDigests=[sha(b"base"), sha(b"absent"), "wrong"]
    )
    assert [layer["layerAvailability"] for layer in found["layers"]] == ["AVAILABLE", "UNAVAILABLE"]
    assert found["failures"][0]["failureCode"] == "InvalidLayerDigest"
    return found


def a_layer_comes_down(ecr: Any, world: World) -> Any:
    world.push("a", "v1")
    found = ecr.get_download_url_for_layer(repositoryName="app", layerDigest=sha(b"base"))
    assert world.engine.fetch(found["downloadUrl"]) == b"base"
    return urlsplit(found["downloadUrl"]).path, found["layerDigest"]


def a_lifecycle_policy(ecr: Any, world: World) -> Any:
    text = policy(1)
    put = ecr.put_lifecycle_policy(repositoryName="app", lifecyclePolicyText=text)
    got = ecr.get_lifecycle_policy(repositoryName="app")
    gone = ecr.delete_lifecycle_policy(repositoryName="app")
    after = refused(ecr.get_lifecycle_policy, repositoryName="app")
    assert after["Code"] == "LifecyclePolicyNotFoundException"
    return put, got, gone, after


def policy(keep: int) -> str:
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": keep}
    return json.dumps({"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]})


def a_lifecycle_preview(ecr: Any, world: World) -> Any:
    old = world.push("a", "old")
    world.advance(days=1)
    world.push("b", "new")
    started = ecr.start_lifecycle_policy_preview(repositoryName="app", lifecyclePolicyText=policy(1))
    assert started["status"] == "IN_PROGRESS"
    world.advance(minutes=1)
    done = ecr.get_lifecycle_policy_preview(repositoryName="app")
    assert [r["imageDigest"] for r in done["previewResults"]] == [old]
    assert done["summary"]["expiringImageTotalCount"] == 1
    return started, done


def a_wrong_lifecycle_policy(ecr: Any, world: World) -> Any:
    text = policy(1).replace('"rulePriority": 1', '"rulePriority": 0')
    found = refused(ecr.put_lifecycle_policy, repositoryName="app", lifecyclePolicyText=text)
    assert found["Code"] == "InvalidParameterException"
    return found


def archive_and_restore(ecr: Any, world: World) -> Any:
    digest = world.push("a", "v1")
    one = {"repositoryName": "app", "imageId": {"imageDigest": digest}}
    away = ecr.update_image_storage_class(**one, targetStorageClass="ARCHIVE")
    got = ecr.batch_get_image(repositoryName="app", imageIds=[{"imageDigest": digest}])
    assert got["failures"][0]["failureCode"] == "ImageInaccessible"
    coming = ecr.update_image_storage_class(**one, targetStorageClass="STANDARD")
    world.advance(minutes=21)
    back = ecr.describe_images(repositoryName="app", imageIds=[{"imageDigest": digest}])
    assert back["imageDetails"][0]["imageStatus"] == "ACTIVE"
    return away, got, coming, back


def referrers_of_an_image(ecr: Any, world: World) -> Any:
    subject = world.push("a", "v1")
    reference = {"mediaType": OCI, "digest": subject, "size": 1}
    sbom = world.push("s", subject=reference, artifactType="application/spdx+json", annotations={"by": "us"})
    world.push("t", subject=reference, artifactType="application/vnd.dev.cosign.artifact.sig.v1+json")
    every = ecr.list_image_referrers(repositoryName="app", subjectId={"imageDigest": subject})
    some = ecr.list_image_referrers(
        repositoryName="app",
        subjectId={"imageDigest": subject},
        filter={"artifactTypes": ["application/spdx+json"]},
    )
    assert len(every["referrers"]) == 2 and [r["digest"] for r in some["referrers"]] == [sbom]
    return every, some


def account_settings(ecr: Any, world: World) -> Any:
    before = ecr.get_account_setting(name="BLOB_MOUNTING")
    put = ecr.put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    assert (before["value"], put["value"]) == ("DISABLED", "ENABLED")
    return before, put


def every_problem_of_a_request(ecr: Any, world: World) -> Any:
    # botocore checks no pattern and no maximum; the service does.
    found = refused(ecr.create_repository, repositoryName="UPPER", imageTagMutability="SOMETIMES")
    assert found["Code"] == "InvalidParameterException"
    return found


def another_registry_is_another(ecr: Any, world: World) -> Any:
    found = refused(ecr.describe_images, registryId="999988887777", repositoryName="app")
    assert found["Code"] == "RepositoryNotFoundException" and "999988887777" in found["Message"]
    return found


def a_token_opens_the_registry(ecr: Any, world: World) -> Any:
    data = ecr.get_authorization_token()["authorizationData"][0]
    user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    assert user == "AWS" and world.engine.check_password(password) == "123456789012"
    return user, data["expiresAt"]


def a_basic_scan(ecr: Any, world: World) -> Any:
    digest = world.push("a", "v1")
    none = refused(ecr.describe_image_scan_findings, repositoryName="app", imageId={"imageTag": "v1"})
    assert none["Code"] == "ScanNotFoundException"
    found = [finding("CVE-2026-1", "HIGH", "zlib", "1.2.13"), finding("CVE-2026-2", "LOW", "bash", "5.2")]
    inject(world.engine, digest, findings=found)
    started = ecr.start_image_scan(repositoryName="app", imageId={"imageTag": "v1"})
    again = refused(ecr.start_image_scan, repositoryName="app", imageId={"imageDigest": digest})
    assert again["Code"] == "LimitExceededException"
    world.advance(seconds=10)
    asked = {"repositoryName": "app", "imageId": {"imageDigest": digest}, "maxResults": 1}
    first = ecr.describe_image_scan_findings(**asked)
    second = ecr.describe_image_scan_findings(**asked, nextToken=first["nextToken"])
    assert first["imageScanStatus"]["status"] == "COMPLETE" and "nextToken" not in second
    assert [p["imageScanFindings"]["findings"][0]["severity"] for p in (first, second)] == ["HIGH", "LOW"]
    return none, started, again, first, second


def an_index_is_not_scanned(ecr: Any, world: World) -> Any:
    child = world.push("a")
    index = world("PutImage", repositoryName="app", imageManifest=world.index(child), imageTag="multi")
    found = refused(ecr.start_image_scan, repositoryName="app", imageId=index["image"]["imageId"])
    assert found == {
        "Code": "UnsupportedImageTypeException",
        "Message": "An artifact with media type 'application/vnd.oci.image.index.v1+json' cannot be scanned.",
    }
    return found


def enhanced_findings(ecr: Any, world: World) -> Any:
    rules = [{"scanFrequency": "CONTINUOUS_SCAN", "repositoryFilters": [{"filter": "*", "filterType": "WILDCARD"}]}]
    ecr.put_registry_scanning_configuration(scanType="ENHANCED", rules=rules)
    digest = world.push("a", "v1")
    pending = ecr.describe_image_scan_findings(repositoryName="app", imageId={"imageTag": "v1"})
    assert pending["imageScanFindings"] == {"findings": [], "enhancedFindings": []}
    found = [
        finding("CVE-2026-1", "HIGH", "zlib", "1.2.13", fixed_in="1.3.1", published=world.engine.clock.now()),
        finding("CVE-2026-2", "LOW", "é", "5.2"),
    ]
    inject(world.engine, digest, findings=found, in_use_count=2, last_in_use_at=world.engine.clock.now())
    world.advance(seconds=30)
    asked = {"repositoryName": "app", "imageId": {"imageDigest": digest}, "maxResults": 1}
    first = ecr.describe_image_scan_findings(**asked)
    second = ecr.describe_image_scan_findings(**asked, nextToken=first["nextToken"])
    counts = [p["imageScanFindings"]["findingSeverityCounts"] for p in (first, second)]
    assert counts == [{"HIGH": 1}, {"LOW": 1}] and first["imageScanStatus"]["status"] == "ACTIVE"
    by_hand = refused(ecr.start_image_scan, repositoryName="app", imageId={"imageTag": "v1"})
    return pending, first, second, by_hand


def how_repositories_are_scanned(ecr: Any, world: World) -> Any:
    before = ecr.get_registry_scanning_configuration()
    rule = {"repositoryFilters": [{"filter": "app*", "filterType": "WILDCARD"}]}
    put = ecr.put_registry_scanning_configuration(scanType="BASIC", rules=[{**rule, "scanFrequency": "SCAN_ON_PUSH"}])
    wrong = refused(
        ecr.put_registry_scanning_configuration,
        scanType="BASIC",
        rules=[{**rule, "scanFrequency": "CONTINUOUS_SCAN"}],
    )
    assert wrong["Code"] == "InvalidParameterException"
    each = ecr.batch_get_repository_scanning_configuration(repositoryNames=["app", "none"])
    assert each["scanningConfigurations"][0]["scanFrequency"] == "SCAN_ON_PUSH"
    assert each["failures"][0]["failureCode"] == "REPOSITORY_NOT_FOUND"
    return before, put, wrong, each


SCENARIOS: tuple[Callable[[Any, World], Any], ...] = (
    repositories_come_and_go,
    a_name_is_taken,
    a_full_repository_needs_force,
    repositories_in_pages,
    resource_tags,
    repository_policy,
    an_image_is_its_manifest,
    the_same_image_again,
    a_tag_moves,
    an_immutable_tag_stays,
    exclusions_from_immutability,
    a_wrong_digest_is_refused,
    missing_layers_are_named,
    an_index_holds_its_children,
    failures_beside_images,
    images_in_pages,
    ids_by_tag_status,
    deleting_tags_and_images,
    a_layer_goes_up,
    layers_that_are_there,
    a_layer_comes_down,
    a_lifecycle_policy,
    a_lifecycle_preview,
    a_wrong_lifecycle_policy,
    archive_and_restore,
    referrers_of_an_image,
    account_settings,
    every_problem_of_a_request,
    another_registry_is_another,
    a_token_opens_the_registry,
    a_basic_scan,
    an_index_is_not_scanned,
    enhanced_findings,
    how_repositories_are_scanned,
)
"""Every story; their names are the test ids."""
