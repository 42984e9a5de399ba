"""Registry hosts: every documented form in every partition, and nothing that only looks like one."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import botocore
import pytest

from ecrkit.errors import InvalidReference
from ecrkit.refs import ImageRef, RegistryHost, partition_of_region
from tests.unit.refs.host_forms import ACCOUNT, HOSTS, PARTITIONS

PARTITION_DATA = json.loads((Path(botocore.__file__).parent / "data" / "partitions.json").read_text())["partitions"]


class TestEveryDocumentedForm:
    """Standard, FIPS, dual-stack and dual-stack FIPS hosts parse and print back (ECR endpoints and quotas)."""

    @pytest.mark.parametrize(("text", "partition", "region", "fips", "dual"), HOSTS)
    def test_parts_are_read_and_printed_back(
        self, text: str, partition: str, region: str, fips: bool, dual: bool
    ) -> None:
        host = RegistryHost.parse(text)
        assert host == RegistryHost(account=ACCOUNT, region=region, fips=fips, dual_stack=dual)
        assert (host.partition, host.public, str(host)) == (partition, False, text)

    @pytest.mark.parametrize(("text", "partition", "region", "fips", "dual"), HOSTS)
    def test_private_builds_the_same_host(self, text: str, partition: str, region: str, fips: bool, dual: bool) -> None:
        assert str(RegistryHost.private(ACCOUNT, region, fips=fips, dual_stack=dual)) == text

    @pytest.mark.parametrize(("text", "dual"), [("public.ecr.aws", False), ("ecr-public.aws.com", True)])
    def test_public_hosts_have_no_account_and_no_region(self, text: str, dual: bool) -> None:
        host = RegistryHost.parse(text)
        assert (host.account, host.region, host.public, host.partition) == (None, None, True, "aws")
        assert (host.dual_stack, str(host)) == (dual, text)

    def test_hosts_are_values(self) -> None:
        one, two = RegistryHost.parse(HOSTS[0][0]), RegistryHost.parse(HOSTS[0][0])
        assert one == two and len({one, two}) == 1 and pickle.loads(pickle.dumps(one)) == one


class TestPartitionsAgreeWithBotocore:
    """botocore's partitions.json is the second source: every region's partition, and each host suffix."""

    def test_every_region_lies_in_its_partition(self) -> None:
        regions = [(p["id"], r) for p in PARTITION_DATA for r in p["regions"] if not r.endswith("-global")]
        assert len(regions) > 30
        assert [(r, partition_of_region(r)) for _, r in regions] == [(r, p) for p, r in regions]

    def test_every_suffix_is_the_partitions_dns_suffix(self) -> None:
        suffix = {p["id"]: p["outputs"]["dnsSuffix"] for p in PARTITION_DATA}
        for partition, region, expected, _ in PARTITIONS:
            assert suffix[partition] == expected
            assert str(RegistryHost.private(ACCOUNT, region)).endswith("." + suffix[partition])

    def test_every_region_has_a_host_that_reads_back(self) -> None:
        for region in (r for p in PARTITION_DATA for r in p["regions"] if not r.endswith("-global")):
            host = RegistryHost.private(ACCOUNT, region)
            assert RegistryHost.parse(str(host)) == host


class TestMixesAreRefused:
    """Mixes that tools' patterns let through and that no documentation names."""

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            (f"{ACCOUNT}.dkr-ecr.us-west-2.amazonaws.com", "dual-stack host of us-west-2 ends in .on.aws"),
            (f"{ACCOUNT}.dkr.ecr.us-west-2.on.aws", "ends in .amazonaws.com, not in .on.aws"),
            (f"{ACCOUNT}.dkr-ecr-fips.us-west-2.amazonaws.com", "ends in .on.aws"),
            (f"{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com.cn", "ends in .amazonaws.com,"),
            (f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com", "ends in .amazonaws.com.cn"),
            (f"{ACCOUNT}.dkr-ecr.cn-north-1.on.aws", "ends in .on.amazonwebservices.com.cn"),
            (f"{ACCOUNT}.dkr-ecr.eu-west-1.on.amazonwebservices.com.cn", "ends in .on.aws"),
            (f"{ACCOUNT}.dkr.ecr.us-isob-east-1.c2s.ic.gov", "ends in .sc2s.sgov.gov"),
            (f"{ACCOUNT}.dkr-ecr.us-iso-east-1.on.aws", "no dual-stack registry host is documented"),
            (f"{ACCOUNT}.dkr-ecr.eusc-de-east-1.on.aws", "no dual-stack registry host is documented"),
            (f"{ACCOUNT}.dkr.ecr.eusc-de-east-1.amazonaws.com", "ends in .amazonaws.eu"),
            (f"{ACCOUNT}.dkr.ecr_fips.us-west-2.amazonaws.com", "an ECR host is"),
            (f"{ACCOUNT}.dkr.ecr-public.us-west-2.amazonaws.com", "an ECR host is"),
            (f"{ACCOUNT}.dkr.ecr.us-west-2.evil.amazonaws.com", "not in .evil.amazonaws.com"),
            (f"https://{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com", "leave out the scheme"),
            (f"{ACCOUNT}.DKR.ecr.us-west-2.amazonaws.com", "written in lower case"),
        ],
    )
    def test_mix_is_refused_with_the_right_form(self, text: str, why: str) -> None:
        with pytest.raises(InvalidReference, match=why.replace(".", r"\.")):
            RegistryHost.parse(text)


class TestLookAlikesAreRefused:
    """A host that begins or ends like one of ECR's is not one."""

    @pytest.mark.parametrize(
        "text",
        [
            f"{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com.evil.example",
            f"{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com.",
            f"{ACCOUNT}.dkr.ecr.us-west-2.amazonawsXcom",
            f"{ACCOUNT}.dkr.ecr.us-west-2.amazonaws-com.evil.example",
            f"{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com:443",
            f"{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com/",
            f"{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com\n",
            f"evil.{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com",
            f"https://{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com",
            f"{ACCOUNT}.DKR.ecr.us-west-2.amazonaws.com",
            f"{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.c\u043em",
            f"{ACCOUNT}.dkr.ecr..amazonaws.com",
            f"{ACCOUNT}.dkr.ecr.amazonaws.com",
            f"{ACCOUNT}.dkr.ecr.useast.amazonaws.com",
            f"{ACCOUNT}.dkr.ecr",
            f"{ACCOUNT}.dkr-ecr",
            "public.ecr.aws.evil.example",
            "xpublic.ecr.aws",
            "public.ecr.aws.",
            "ecr-public.us-east-1.amazonaws.com",
            "ecr-public.on.aws",
            ".dkr.ecr.us-west-2.amazonaws.com",
            "12345678901.dkr.ecr.us-west-2.amazonaws.com",
            "1234567890123.dkr.ecr.us-west-2.amazonaws.com",
            "12345678901a.dkr.ecr.us-west-2.amazonaws.com",
            "\u0661\u0662\u0663456789012.dkr.ecr.us-west-2.amazonaws.com",
            "docker.io",
            "",
        ],
    )
    def test_look_alike_is_no_host_and_no_reference(self, text: str) -> None:
        with pytest.raises(InvalidReference):
            RegistryHost.parse(text)
        with pytest.raises(InvalidReference):
            ImageRef.parse(text + "/team/app:v1")


class TestPrivate:
    """`private` names every faulty argument at once."""

    def test_all_arguments_are_judged(self) -> None:
        with pytest.raises(InvalidReference) as caught:
            RegistryHost.private("12345", "Ireland")
        assert [p.path for p in caught.value.problems] == ["account", "region"]

    def test_dual_stack_where_none_is_documented(self) -> None:
        with pytest.raises(InvalidReference, match="no dual-stack registry host is documented for us-iso-east-1"):
            RegistryHost.private(ACCOUNT, "us-iso-east-1", dual_stack=True)

    @pytest.mark.parametrize("region", ["us-west-2\n", "us-west", "-1", "us--west-2", "US-WEST-2", "us-west-200", ""])
    def test_no_region_names(self, region: str) -> None:
        with pytest.raises(InvalidReference, match="region"):
            RegistryHost.private(ACCOUNT, region)


class TestInRegion:
    """The same registry elsewhere keeps the endpoint form and takes the other partition's suffix."""

    def test_form_stays(self) -> None:
        host = RegistryHost.parse(f"{ACCOUNT}.dkr-ecr-fips.us-west-2.on.aws").in_region("us-east-1")
        assert str(host) == f"{ACCOUNT}.dkr-ecr-fips.us-east-1.on.aws"

    def test_suffix_follows_the_partition(self) -> None:
        host = RegistryHost.private(ACCOUNT, "eu-west-1", dual_stack=True).in_region("cn-north-1")
        assert str(host) == f"{ACCOUNT}.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn"

    def test_a_form_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(InvalidReference, match="no dual-stack"):
            RegistryHost.private(ACCOUNT, "us-east-1", dual_stack=True).in_region("us-iso-east-1")

    def test_public_has_no_regions(self) -> None:
        with pytest.raises(InvalidReference, match="ECR Public has no regions"):
            RegistryHost.parse("public.ecr.aws").in_region("us-east-1")
