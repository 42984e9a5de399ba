"""An embedded ECR with a replication configuration, and short ways to look at it."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from ecrkit.local.images import BuiltImage, BuiltIndex, filler, image, index, layer
from tests.support.shapes import CheckedEngine

HOME, AWAY, FAR = "us-east-1", "eu-west-1", "ap-southeast-2"
OWN, OTHER = "123456789012", "210987654321"
SECOND = dt.timedelta(seconds=1)


def rule(
    *regions: str, account: str = OWN, filters: tuple[str, ...] = (), deletes: bool | None = None
) -> dict[str, Any]:
    """One replication rule as the API takes it."""
    made: dict[str, Any] = {"destinations": [{"region": r, "registryId": account} for r in regions]}
    if filters:
        made["repositoryFilters"] = [{"filter": f, "filterType": "PREFIX_MATCH"} for f in filters]
    if deletes is not None:
        made["deleteReplication"] = {"enabled": deletes}
    return made


def app(seed: str = "1") -> BuiltImage:
    """A small image; another seed gives another digest."""
    return image([filler(4096, seed="base"), layer({"app": seed})])


def two_platforms(seed: str = "1") -> BuiltIndex:
    """An index with two children."""
    return index(
        image([filler(4096, seed="base"), layer({"app": f"{seed} {p}"})], platform=p)
        for p in ("linux/amd64", "linux/arm64")
    )


class World:
    """A checked engine whose home registry replicates."""

    def __init__(self, *rules: dict[str, Any], repository: str = "app") -> None:
        self.engine = CheckedEngine()
        self.repository = repository
        self.create(repository)
        if rules:
            self.configure(*rules)

    def __call__(self, operation: str, region: str = HOME, account: str | None = None, **params: Any) -> dict[str, Any]:
        return self.engine.call(operation, params, region=region, account=account)

    def configure(self, *rules: dict[str, Any]) -> dict[str, Any]:
        return self("PutReplicationConfiguration", replicationConfiguration={"rules": list(rules)})

    def create(self, repository: str, region: str = HOME, account: str | None = None, **more: Any) -> None:
        self("CreateRepository", region, account, repositoryName=repository, **more)

    def push(self, built: BuiltImage | BuiltIndex, tag: str | None = "v1", repository: str | None = None) -> str:
        return built.push(self.engine, repository or self.repository, tag)

    def pass_time(self, seconds: float) -> None:
        self.engine.advance(dt.timedelta(seconds=seconds))

    def status(self, image: str, repository: str | None = None) -> dict[str, str]:
        """Region to status, with the code of a failure."""
        key = "imageDigest" if image.startswith("sha256:") else "imageTag"
        answer = self(
            "DescribeImageReplicationStatus", repositoryName=repository or self.repository, imageId={key: image}
        )
        return {
            item["region"]: item["status"] + (f" {item['failureCode']}" if "failureCode" in item else "")
            for item in answer["replicationStatuses"]
        }

    def tags(self, region: str, account: str | None = None, repository: str | None = None) -> dict[str, list[str]]:
        """Digest to tags of every image in a region, of every status; empty when there is no repository."""
        registry = self.engine.registry(account, region)
        name = repository or self.repository
        if name not in registry.repositories:
            return {}
        answer = self("DescribeImages", region, account, repositoryName=name, filter={"imageStatus": "ANY"})
        return {item["imageDigest"]: sorted(item.get("imageTags", [])) for item in answer["imageDetails"]}

    def allow(self, region: str, *, account: str = OTHER, source: str = OWN, create: bool = True) -> None:
        """Let the destination account's registry policy take what the source account replicates."""
        actions = ["ecr:ReplicateImage", *(["ecr:CreateRepository"] if create else [])]
        statement = {
            "Sid": "replication", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{source}:root"},
            "Action": actions, "Resource": f"arn:aws:ecr:{region}:{account}:repository/*",
        }  # fmt: skip
        text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self("PutRegistryPolicy", region, account, policyText=text)
