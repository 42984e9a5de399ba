from __future__ import annotations

import json

import pytest

from ecrkit.local import Limits
from tests.support.lab import Lab

ARN = "arn:aws:ecr:us-east-1:123456789012:repository/app"
GOOD = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"}]}
)


class TestRepositories:
    """CreateRepository, DescribeRepositories, DeleteRepository."""

    def test_every_partition_has_its_host(self, lab: Lab):
        made = lab.engine.call("CreateRepository", {"repositoryName": "a/b"}, region="cn-north-1")["repository"]
        assert made["repositoryUri"] == "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/a/b"
        assert made["repositoryArn"].startswith("arn:aws-cn:ecr:cn-north-1:")

    def test_accounts_and_regions_are_apart(self, lab: Lab):
        for where in ({"account": "210987654321"}, {"region": "eu-west-1"}):
            assert lab.engine.call("DescribeRepositories", {}, **where) == {"repositories": []}
        other = lab.engine.call("DescribeRepositories", {"registryId": "123456789012"}, account="210987654321")
        assert other["repositories"][0]["registryId"] == "123456789012"

    def test_pages_and_names(self, lab: Lab):
        for n in range(4):
            lab("CreateRepository", repositoryName=f"r{n}")
        page = lab("DescribeRepositories", maxResults=3)
        assert [r["repositoryName"] for r in page["repositories"]] == ["app", "r0", "r1"]
        rest = lab("DescribeRepositories", nextToken=page["nextToken"])
        assert [r["repositoryName"] for r in rest["repositories"]] == ["r2", "r3"] and "nextToken" not in rest
        named = lab("DescribeRepositories", repositoryNames=["r3", "app"])["repositories"]
        assert [r["repositoryName"] for r in named] == ["r3", "app"]
        assert lab.refused("DescribeRepositories", repositoryNames=["no"]).code == "RepositoryNotFoundException"
        both = lab.refused("DescribeRepositories", repositoryNames=["app"], maxResults=1)
        assert both.code == "InvalidParameterException"

    def test_twice_and_limit(self, lab: Lab):
        assert lab.refused("CreateRepository", repositoryName="app").code == "RepositoryAlreadyExistsException"
        lab.engine.limits = Limits(repositories=1)
        assert lab.refused("CreateRepository", repositoryName="b2").code == "LimitExceededException"

    def test_delete_needs_force_for_images(self, lab: Lab):
        lab.push("a")
        assert lab.refused("DeleteRepository", repositoryName="app").code == "RepositoryNotEmptyException"
        assert lab("DeleteRepository", repositoryName="app", force=True)["repository"]["repositoryName"] == "app"
        assert lab.refused("DescribeImages", repositoryName="app").code == "RepositoryNotFoundException"

    def test_encryption(self, lab: Lab):
        kms = lab("CreateRepository", repositoryName="kms", encryptionConfiguration={"encryptionType": "KMS_DSSE"})
        assert ":key/" in kms["repository"]["encryptionConfiguration"]["kmsKey"]
        fault = lab.refused(
            "CreateRepository", repositoryName="k2", encryptionConfiguration={"encryptionType": "AES256", "kmsKey": "k"}
        )
        assert fault.code == "InvalidParameterException"

    def test_answers_do_not_leak_state(self, lab: Lab):
        lab("DescribeRepositories")["repositories"][0]["encryptionConfiguration"]["encryptionType"] = "KMS"
        assert lab("DescribeRepositories")["repositories"][0]["encryptionConfiguration"] == {"encryptionType": "AES256"}

    def test_scan_on_push(self, lab: Lab):
        lab("PutImageScanningConfiguration", repositoryName="app", imageScanningConfiguration={"scanOnPush": True})
        assert lab("DescribeRepositories")["repositories"][0]["imageScanningConfiguration"] == {"scanOnPush": True}

    @pytest.mark.parametrize(("mode", "filters"), [("IMMUTABLE_WITH_EXCLUSION", None), ("IMMUTABLE", ["a"])])
    def test_filters_belong_to_the_exclusion_modes(self, lab: Lab, mode: str, filters: list[str] | None):
        more = (
            {"imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": f} for f in filters]}
            if filters
            else {}
        )
        fault = lab.refused("PutImageTagMutability", repositoryName="app", imageTagMutability=mode, **more)
        assert fault.code == "InvalidParameterException"


class TestTags:
    """TagResource: keys to 128, values to 256 characters, 50 per repository."""

    def test_round(self, lab: Lab):
        lab("TagResource", resourceArn=ARN, tags=[{"Key": "team", "Value": "a"}, {"Key": "x", "Value": ""}])
        lab("TagResource", resourceArn=ARN, tags=[{"Key": "team", "Value": "b"}])
        lab("UntagResource", resourceArn=ARN, tagKeys=["x", "unknown"])
        assert lab("ListTagsForResource", resourceArn=ARN)["tags"] == [{"Key": "team", "Value": "b"}]

    @pytest.mark.parametrize(
        ("key", "value"), [("k" * 129, ""), ("", ""), ("k", "v" * 257), ("aws:x", "y"), ("AWS:x", "y")]
    )
    def test_unfit(self, lab: Lab, key: str, value: str):
        fault = lab.refused("TagResource", resourceArn=ARN, tags=[{"Key": key, "Value": value}])
        assert fault.code == "InvalidTagParameterException"

    def test_too_many_changes_nothing(self, lab: Lab):
        tags = [{"Key": f"k{n}", "Value": ""} for n in range(51)]
        assert lab.refused("TagResource", resourceArn=ARN, tags=tags).code == "TooManyTagsException"
        assert lab.refused("CreateRepository", repositoryName="b2", tags=tags).code == "TooManyTagsException"
        assert lab("ListTagsForResource", resourceArn=ARN) == {"tags": []}

    def test_arn(self, lab: Lab):
        assert lab.refused("ListTagsForResource", resourceArn="app").code == "InvalidParameterException"
        assert lab.refused("ListTagsForResource", resourceArn=ARN + "x").code == "RepositoryNotFoundException"


class TestPolicies:
    """Policies are kept verbatim; a repository policy has no Resource, a registry policy has one."""

    def test_repository_policy(self, lab: Lab):
        assert lab.refused("GetRepositoryPolicy", repositoryName="app").code == "RepositoryPolicyNotFoundException"
        lab("SetRepositoryPolicy", repositoryName="app", policyText=GOOD)
        assert lab("GetRepositoryPolicy", repositoryName="app")["policyText"] == GOOD
        lab("DeleteRepositoryPolicy", repositoryName="app")
        assert lab.refused("DeleteRepositoryPolicy", repositoryName="app").code == "RepositoryPolicyNotFoundException"

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "{}", '{"Statement":[]}', '{"Statement":[1]}', GOOD.replace("Allow", "allow"),
                 GOOD.replace('"Principal"', '"Resource":"*","Principal"'), GOOD.replace('"Principal": "*", ', "")],
    )  # fmt: skip
    def test_unfit_repository_policy(self, lab: Lab, text: str):
        fault = lab.refused("SetRepositoryPolicy", repositoryName="app", policyText=text)
        assert "Invalid repository policy provided" in fault.message

    def test_size(self, lab: Lab):
        fault = lab.refused("SetRepositoryPolicy", repositoryName="app", policyText=GOOD + " " * 10240)
        assert "less than or equal to 10240" in fault.message

    def test_registry_policy(self, lab: Lab):
        assert lab.refused("GetRegistryPolicy").code == "RegistryPolicyNotFoundException"
        assert "Invalid registry policy" in lab.refused("PutRegistryPolicy", policyText=GOOD).message
        text = GOOD.replace('"Principal"', '"Resource":"*","Principal"')
        lab("PutRegistryPolicy", policyText=text)
        assert lab("DeleteRegistryPolicy")["policyText"] == text


class TestSettings:
    """Account settings with their documented values (PutAccountSetting)."""

    def test_values(self, lab: Lab):
        assert lab("GetAccountSetting", name="BLOB_MOUNTING")["value"] == "DISABLED"
        lab("PutAccountSetting", name="BLOB_MOUNTING", value="ENABLED")
        assert lab("GetAccountSetting", name="BLOB_MOUNTING")["value"] == "ENABLED"
        assert lab.refused("PutAccountSetting", name="REGISTRY_POLICY_SCOPE", value="V1").code == "ValidationException"
        assert lab.refused("GetAccountSetting", name="NO").code == "ValidationException"

    def test_describe_registry(self, lab: Lab):
        assert lab("DescribeRegistry") == {"registryId": "123456789012", "replicationConfiguration": {"rules": []}}
