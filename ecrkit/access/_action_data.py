"""The actions of `ecr` and `ecr-public` as the AWS Service Authorization Reference lists them.

One row an action: name, access level, resource type (empty: `Resource` must be `*`), condition keys of the action.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ACTIONS", "DATA_DATE"]

DATA_DATE: Final = "2026-09-26"
"""The day of the Service Authorization data."""

Row = tuple[str, str, str, tuple[str, ...]]

# fmt: off
ACTIONS: Final[dict[str, tuple[Row, ...]]] = {
    "ecr": (
        ("BatchCheckLayerAvailability", "Read", "repository", ()),
        ("BatchDeleteImage", "Write", "repository", ()),
        ("BatchGetImage", "Read", "repository", ()),
        ("BatchGetRepositoryScanningConfiguration", "Read", "repository", ()),
        ("BatchImportUpstreamImage", "Write", "repository", ()),
        ("CompleteLayerUpload", "Write", "repository", ()),
        ("CreatePullThroughCacheRule", "Write", "", ()),
        ("CreateRepository", "Write", "repository", ("aws:RequestTag/", "aws:TagKeys")),
        ("CreateRepositoryCreationTemplate", "Write", "", ()),
        ("DeleteLifecyclePolicy", "Write", "repository", ()),
        ("DeletePullThroughCacheRule", "Write", "", ()),
        ("DeleteRegistryPolicy", "Permissions management", "", ()),
        ("DeleteRepository", "Write", "repository", ()),
        ("DeleteRepositoryCreationTemplate", "Write", "", ()),
        ("DeleteRepositoryPolicy", "Permissions management", "repository", ()),
        ("DeleteSigningConfiguration", "Write", "", ()),
        ("DeregisterPullTimeUpdateExclusion", "Write", "", ()),
        ("DescribeImageReplicationStatus", "Read", "repository", ()),
        ("DescribeImageScanFindings", "Read", "repository", ()),
        ("DescribeImageSigningStatus", "Read", "repository", ()),
        ("DescribeImages", "List", "repository", ()),
        ("DescribePullThroughCacheRules", "List", "", ()),
        ("DescribeRegistry", "Read", "", ()),
        ("DescribeRepositories", "Read", "repository", ()),
        ("DescribeRepositoryCreationTemplates", "Read", "", ()),
        ("GetAccountSetting", "Read", "", ("ecr:AccountSetting",)),
        ("GetAuthorizationToken", "Read", "", ()),
        ("GetDownloadUrlForLayer", "Read", "repository", ()),
        ("GetImageCopyStatus", "Read", "repository", ()),
        ("GetLifecyclePolicy", "Read", "repository", ()),
        ("GetLifecyclePolicyPreview", "Read", "repository", ()),
        ("GetRegistryPolicy", "Read", "", ()),
        ("GetRegistryScanningConfiguration", "Read", "", ()),
        ("GetRepositoryPolicy", "Read", "repository", ()),
        ("GetSigningConfiguration", "Read", "", ()),
        ("InitiateLayerUpload", "Write", "repository", ()),
        ("ListImages", "List", "repository", ()),
        ("ListPullTimeUpdateExclusions", "List", "", ()),
        ("ListTagsForResource", "Read", "repository", ("aws:RequestTag/", "aws:TagKeys")),
        ("PutAccountSetting", "Write", "", ("ecr:AccountSetting",)),
        ("PutImage", "Write", "repository", ()),
        ("PutImageScanningConfiguration", "Write", "repository", ()),
        ("PutImageTagMutability", "Write", "repository", ()),
        ("PutLifecyclePolicy", "Write", "repository", ()),
        ("PutRegistryPolicy", "Permissions management", "", ()),
        ("PutRegistryScanningConfiguration", "Write", "", ()),
        ("PutReplicationConfiguration", "Write", "", ()),
        ("PutSigningConfiguration", "Write", "", ()),
        ("RegisterPullTimeUpdateExclusion", "Write", "", ()),
        ("ReplicateImage", "Write", "repository", ()),
        ("SetRepositoryPolicy", "Permissions management", "repository", ()),
        ("StartImageScan", "Write", "repository", ()),
        ("StartLifecyclePolicyPreview", "Write", "repository", ()),
        ("TagResource", "Tagging", "repository", ("aws:RequestTag/", "aws:TagKeys")),
        ("UntagResource", "Tagging", "repository", ("aws:TagKeys",)),
        ("UpdateImageStorageClass", "Write", "repository", ()),
        ("UpdatePullThroughCacheRule", "Write", "", ()),
        ("UpdateRepositoryCreationTemplate", "Write", "", ()),
        ("UploadLayerPart", "Write", "repository", ()),
        ("ValidatePullThroughCacheRule", "Read", "", ()),
    ),
    "ecr-public": (
        ("BatchCheckLayerAvailability", "Read", "repository", ()),
        ("BatchDeleteImage", "Write", "repository", ()),
        ("CompleteLayerUpload", "Write", "repository", ()),
        ("CreateRepository", "Write", "repository", ("aws:RequestTag/", "aws:TagKeys")),
        ("DeleteRepository", "Write", "repository", ()),
        ("DeleteRepositoryPolicy", "Write", "repository", ()),
        ("DescribeImageTags", "List", "repository", ()),
        ("DescribeImages", "Read", "repository", ()),
        ("DescribeRegistries", "List", "registry", ()),
        ("DescribeRepositories", "List", "repository", ()),
        ("GetAuthorizationToken", "Read", "", ()),
        ("GetRegistryCatalogData", "Read", "registry", ()),
        ("GetRepositoryCatalogData", "Read", "repository", ()),
        ("GetRepositoryPolicy", "Read", "repository", ()),
        ("InitiateLayerUpload", "Write", "repository", ()),
        ("ListTagsForResource", "Read", "repository", ()),
        ("PutImage", "Write", "repository", ()),
        ("PutRegistryCatalogData", "Write", "registry", ()),
        ("PutRepositoryCatalogData", "Write", "repository", ()),
        ("SetRepositoryPolicy", "Permissions management", "repository", ()),
        ("TagResource", "Tagging", "repository", ("aws:RequestTag/", "aws:TagKeys")),
        ("UntagResource", "Tagging", "repository", ("aws:TagKeys",)),
        ("UploadLayerPart", "Write", "repository", ()),
    ),
}
# fmt: on
