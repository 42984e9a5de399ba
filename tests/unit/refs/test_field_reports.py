"""References that tools in the field read wrongly; each test names the public report."""

from __future__ import annotations

import pytest

from ecrkit.errors import InvalidReference
from ecrkit.refs import ImageRef, RegistryHost


def registry(text: str) -> RegistryHost:
    """Return the registry of a reference that has one."""
    found = ImageRef.parse(text).registry
    assert found is not None
    return found


class TestDualStackPublic:
    """`ecr-public.aws.com` is ECR Public (amazon-eks-ami#2592, amazon-ecr-credential-helper#1054)."""

    def test_it_is_public_and_dual_stack(self) -> None:
        host = registry("ecr-public.aws.com/eks/pause:3.9")
        assert (host.public, host.dual_stack, host.fips) == (True, True, False)


class TestDualStackPrivate:
    """Account and region of `*.dkr-ecr.*.on.aws` are read, never empty.

    Reports: amazon-ecr-credential-helper#967 and #968, cloud-provider-aws#1069, docker/login-action#872,
    kubescape/kubevuln#563.
    """

    @pytest.mark.parametrize(
        ("host", "account", "region", "fips"),
        [
            ("123456789012.dkr-ecr.us-west-2.on.aws", "123456789012", "us-west-2", False),
            ("123456789123.dkr-ecr-fips.us-west-2.on.aws", "123456789123", "us-west-2", True),
            ("123456789123.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "123456789123", "cn-north-1", False),
        ],
    )
    def test_parts(self, host: str, account: str, region: str, fips: bool) -> None:
        found = registry(f"{host}/app:v1")
        assert (found.account, found.region, found.fips, found.dual_stack) == (account, region, fips, True)
        assert not found.public


class TestPublicWithPath:
    """`public.ecr.aws/aws-ec2/helm` is public, with the alias in the repository's name (fluxcd/pkg#936)."""

    def test_public(self) -> None:
        ref = ImageRef.parse("public.ecr.aws/aws-ec2/helm:v1")
        assert (registry(str(ref)).public, ref.repository) == (True, "aws-ec2/helm")


class TestFipsOnlyWhereTheHostSaysSo:
    """FIPS is a property of the host, not of the session (cloudfoundry/diego-release#1093)."""

    def test_a_plain_host_is_not_fips(self) -> None:
        assert not registry("123456789012.dkr.ecr.eu-central-1.amazonaws.com/app").fips

    def test_a_fips_host_is(self) -> None:
        assert registry("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com/app").fips


class TestPullHostIsKept:
    """Docker looks credentials up by the exact pull host, so the host must print back as read.

    Reports: aws-actions/amazon-ecr-login#1084, aws/amazon-ecs-agent#5106 and #5097, go-to-k/cdkd#1855.
    """

    @pytest.mark.parametrize(
        "host",
        [
            "123456789012.dkr.ecr.us-west-2.amazonaws.com",
            "123456789012.dkr-ecr.us-west-2.on.aws",
            "123456789012.dkr-ecr-fips.us-west-2.on.aws",
        ],
    )
    def test_as_read(self, host: str) -> None:
        assert str(registry(f"{host}/app")) == host


class TestChinaSuffix:
    """A registry in China ends in `.amazonaws.com.cn` (terraform-provider-aws#5741)."""

    def test_built_with_the_suffix(self) -> None:
        host = RegistryHost.private("123456789012", "cn-north-1")
        assert str(host) == "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"

    def test_without_it_the_message_names_the_right_one(self) -> None:
        with pytest.raises(InvalidReference, match=r"cn-north-1 ends in \.amazonaws\.com\.cn"):
            ImageRef.parse("123456789012.dkr.ecr.cn-north-1.amazonaws.com/app")


class TestTenDigitAccount:
    """A host without scheme is taken, an account of ten digits is refused in words (hashicorp/packer#11940)."""

    def test_the_message_counts(self) -> None:
        with pytest.raises(InvalidReference, match=r"must be 12 digits, this one is '1234567890' \(10 characters\)"):
            ImageRef.parse("1234567890.dkr.ecr.ca-central-1.amazonaws.com/app:v1")


class TestCrossAccountRegistryId:
    """The registry id of a cross-account call stands in the host (goharbor/harbor#21635, #15388, #21828)."""

    def test_the_hosts_account(self) -> None:
        assert registry("999988887777.dkr.ecr.eu-west-1.amazonaws.com/app").account == "999988887777"
