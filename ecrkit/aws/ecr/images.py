"""Images: listing them, crawling many repositories at a time, putting one, changing storage."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.aws import drift
from ecrkit.aws.ecr.base import EcrCalls, image_id
from ecrkit.aws.iam import needs
from ecrkit.aws.workers import run_many
from ecrkit.errors import AwsCallFailed, NotFound
from ecrkit.ports import Listing, OnProgress
from ecrkit.records import Image, ImageId, Progress, StorageClass, images_from_api

__all__ = ["Crawled", "EcrImages"]

_PAGE: Final = 1000
TagStatus = Literal["TAGGED", "UNTAGGED", "ANY"]


@attrs.frozen(kw_only=True)
class Crawled(Record):
    """One repository of a crawl: its images, or None with the fault that kept them from being read."""

    repository: str
    images: tuple[Image, ...] | None
    fault: str | None = None


class EcrImages(EcrCalls):
    """The image operations of ECR."""

    @needs("ecr:DescribeImages")
    def images(self, repository: str) -> Listing[Image]:
        """Return every image of the repository, of every status, in ECR's order, which is not documented.

        Calls: one for each 1000 images. Without a filter ECR leaves out archived images, so `imageStatus=ANY` is sent.

        Raises:
            NotFound: when walked, and there is no such repository.
            NotSupportedByBotocore: the installed botocore cannot ask for archived images.
        """
        drift.require_member(self._caller.client, "DescribeImagesFilter", "imageStatus")
        return self._listing(
            "DescribeImages",
            lambda answer: list(images_from_api(answer.get("imageDetails") or ())),
            repositoryName=repository,
            maxResults=_PAGE,
            filter={"imageStatus": "ANY"},
        )

    @needs("ecr:DescribeImages")
    def image(self, repository: str, reference: str) -> Image:
        """Return the image of a tag or a digest (`sha256:...`), of any status. It does not count as a pull.

        Raises:
            NotFound: no such repository or image.
            NotSupportedByBotocore: the installed botocore cannot ask for archived images.
        """
        drift.require_member(self._caller.client, "DescribeImagesFilter", "imageStatus")
        about = f"{repository}@{reference}" if reference.startswith("sha256:") else f"{repository}:{reference}"
        answer = self._call(
            "DescribeImages",
            resource=about,
            repositoryName=repository,
            imageIds=[image_id(reference)],
            filter={"imageStatus": "ANY"},
        )
        found = images_from_api(answer.get("imageDetails") or ())
        if not found:
            raise NotFound(
                f"ecr DescribeImages for {about}: ECR answered no image",
                operation="DescribeImages",
                code="ImageNotFoundException",
                resource=about,
            )
        return found[0]

    @needs("ecr:DescribeImages")
    def digest_of(self, repository: str, tag: str) -> str | None:
        """Return the digest that the tag names now, or None when there is no such tag.

        Raises:
            NotFound: no such repository.
        """
        try:
            return self.image(repository, tag).digest
        except NotFound as fault:
            if fault.code == "ImageNotFoundException":
                return None
            raise

    @needs("ecr:ListImages")
    def image_ids(self, repository: str, *, tag_status: TagStatus | None = None) -> Listing[ImageId]:
        """Return the identifiers of every image, one for each tag, and one without tag for an untagged image.

        Calls: one for each 1000 identifiers.

        Raises:
            NotFound: when walked, and there is no such repository.
            NotSupportedByBotocore: the installed botocore cannot ask for archived images.
        """
        drift.require_member(self._caller.client, "ListImagesFilter", "imageStatus")
        wanted = {"imageStatus": "ANY"} | ({"tagStatus": tag_status} if tag_status else {})
        return self._listing(
            "ListImages",
            lambda answer: [
                ImageId(digest=found["imageDigest"], tag=found.get("imageTag"))
                for found in answer.get("imageIds") or ()
                if "imageDigest" in found
            ],
            repositoryName=repository,
            maxResults=_PAGE,
            filter=wanted,
        )

    @needs("ecr:DescribeImages")
    def images_of_many(
        self,
        repositories: Iterable[str],
        *,
        workers: int | None = None,
        ordered: bool = False,
        keep_going: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Generator[Crawled]:
        """Yield the images of many repositories, read side by side, as each is complete.

        At most two repositories for each worker are in memory at a time. With `keep_going` a repository that cannot
        be read is yielded with its fault, and its images are None and not empty.

        Args:
            repositories: their names; may be a lazy listing.
            workers: how many are read at a time; by default what the gateway was opened with.
            ordered: yield in the order given, instead of as they are complete.
            keep_going: go on after a fault; otherwise the first one is raised and ends the crawl.
            on_progress: called after each repository, in the thread that consumes the crawl.

        Raises:
            AwsCallFailed: a repository could not be read, and not `keep_going`.
        """
        total = len(repositories) if isinstance(repositories, list | tuple | set | frozenset | dict) else None

        def read(repository: str) -> Crawled:
            try:
                return Crawled(repository=repository, images=self.images(repository).all())
            except AwsCallFailed as fault:
                if not keep_going:
                    raise
                return Crawled(repository=repository, images=None, fault=str(fault))

        crawl = run_many(read, repositories, workers=workers or self._workers, ordered=ordered)
        try:
            for done, (_, crawled) in enumerate(crawl, start=1):
                if on_progress is not None:
                    on_progress(Progress(done=done, total=total, what="repositories"))
                yield crawled
        finally:
            crawl.close()

    @needs("ecr:PutImage")
    def put_image(
        self,
        repository: str,
        manifest: str,
        *,
        tag: str | None = None,
        media_type: str | None = None,
        digest: str | None = None,
    ) -> ImageId:
        """Put a manifest, or give an image that is there one more tag; return what ECR calls it.

        The text is sent unchanged, since its bytes are what the digest is of. `digest` makes ECR refuse a manifest
        that does not hash to it. A manifest without `mediaType` needs `media_type`.

        Raises:
            Conflict: the same image and tag are there already, or the tag is immutable and taken.
            NotFound: no such repository, or a layer or child image is missing.
            QuotaExceeded: the repository is full.
        """
        answer = self._call(
            "PutImage",
            repositoryName=repository,
            imageManifest=manifest,
            imageManifestMediaType=media_type,
            imageTag=tag,
            imageDigest=digest,
        )
        found: dict[str, Any] = answer["image"]["imageId"]
        return ImageId(digest=found["imageDigest"], tag=found.get("imageTag"))

    @needs("ecr:UpdateImageStorageClass")
    def update_storage_class(self, repository: str, digest: str, to: StorageClass) -> str:
        """Archive or restore an image; return its status then: ARCHIVED, ACTIVATING, ACTIVE, or what is newer.

        A restored image can be pulled only once it is ACTIVE.

        Raises:
            NotFound: no such repository or image.
            NotSupportedByBotocore: the installed botocore does not know storage classes.
        """
        answer = self._call(
            "UpdateImageStorageClass",
            repositoryName=repository,
            imageId={"imageDigest": digest},
            targetStorageClass=to.upper(),
        )
        return str(answer.get("imageStatus") or "")
