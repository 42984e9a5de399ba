"""The stories of the embedded ECR, played on a real account: opt-in, since it writes there and costs a little.

Set ECRKIT_AWS_REGION to a Region and give boto3 credentials that may do everything in repositories whose names begin
with `ecrkit-conformance/`. Each story makes one repository of a random name there and deletes it with what it holds.
Nothing else is touched. Without the variable, the same stories run in the same way on the embedded ECR, which proves
that this module works.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore import xform_name

from ecrkit.local import Engine, client
from tests.conformance import scenarios
from tests.conformance.scenarios import World
from tests.support.lab import sha

REGION = os.environ.get("ECRKIT_AWS_REGION")
STORIES = (
    scenarios.an_image_is_its_manifest,
    scenarios.the_same_image_again,
    scenarios.a_tag_moves,
    scenarios.an_immutable_tag_stays,
    scenarios.exclusions_from_immutability,
    scenarios.a_wrong_digest_is_refused,
    scenarios.missing_layers_are_named,
    scenarios.an_index_holds_its_children,
    scenarios.failures_beside_images,
    scenarios.images_in_pages,
    scenarios.ids_by_tag_status,
    scenarios.deleting_tags_and_images,
    scenarios.layers_that_are_there,
    scenarios.a_lifecycle_policy,
    scenarios.a_wrong_lifecycle_policy,
)


class Renamed:
    """A client that sends the repository `app` of the stories to one repository of its own, and no other name at all."""

    def __init__(self, ecr: Any, name: str) -> None:
        self._ecr, self._name = ecr, name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(**params: Any) -> Any:
            assert params.pop("repositoryName") == "app", f"{method} on another repository than the story's"
            return getattr(self._ecr, method)(repositoryName=self._name, **params)

        return call


class AccountWorld(World):
    """Fills the repository through the API alone, since no engine is at hand."""

    def __init__(self, ecr: Renamed) -> None:
        self.ecr = ecr
        self("CreateRepository", repositoryName="app")

    def __call__(self, operation: str, **params: Any) -> dict[str, Any]:
        return getattr(self.ecr, xform_name(operation))(**params)

    def blob(self, data: bytes, media: str = "application/vnd.oci.image.layer.v1.tar+gzip") -> dict[str, Any]:
        begun = self("InitiateLayerUpload", repositoryName="app")["uploadId"]
        self(
            "UploadLayerPart", repositoryName="app", uploadId=begun, partFirstByte=0, partLastByte=len(data) - 1,
            layerPartBlob=data,
        )  # fmt: skip
        try:
            self("CompleteLayerUpload", repositoryName="app", uploadId=begun, layerDigests=[sha(data)])
        except Exception as fault:
            if getattr(fault, "response", {}).get("Error", {}).get("Code") != "LayerAlreadyExistsException":
                raise
        return {"mediaType": media, "digest": sha(data), "size": len(data)}


@pytest.fixture
def stage() -> Iterator[tuple[Renamed, AccountWorld]]:
    name = f"ecrkit-conformance/{uuid.uuid4().hex}"
    plain = boto3.client("ecr", region_name=REGION) if REGION else client(Engine())
    ecr = Renamed(plain, name)
    try:
        yield ecr, AccountWorld(ecr)
    finally:
        plain.delete_repository(repositoryName=name, force=True)
        plain.close()


@pytest.mark.parametrize("story", STORIES, ids=lambda s: s.__name__)
def test_story(story: Callable[[Any, World], Any], stage: tuple[Renamed, AccountWorld]) -> None:
    assert story(*stage)
