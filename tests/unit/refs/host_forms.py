"""Facts that the reference tests share, written down apart from the code under test."""

from __future__ import annotations

ACCOUNT = "123456789012"
DIGEST = "sha256:" + "0123456789abcdef" * 4

# (partition, region, host suffix, suffix of the dual-stack host or None where none is documented).
# AWS General Reference, "Amazon ECR endpoints and quotas"; partitions from botocore's partitions.json.
PARTITIONS = [
    ("aws", "eu-west-1", "amazonaws.com", "on.aws"),
    ("aws", "us-east-1", "amazonaws.com", "on.aws"),
    ("aws", "ap-southeast-3", "amazonaws.com", "on.aws"),
    ("aws", "il-central-1", "amazonaws.com", "on.aws"),
    ("aws-cn", "cn-north-1", "amazonaws.com.cn", "on.amazonwebservices.com.cn"),
    ("aws-cn", "cn-northwest-1", "amazonaws.com.cn", "on.amazonwebservices.com.cn"),
    ("aws-us-gov", "us-gov-west-1", "amazonaws.com", "on.aws"),
    ("aws-eusc", "eusc-de-east-1", "amazonaws.eu", None),
    ("aws-iso", "us-iso-east-1", "c2s.ic.gov", None),
    ("aws-iso-b", "us-isob-east-1", "sc2s.sgov.gov", None),
    ("aws-iso-e", "eu-isoe-west-1", "cloud.adc-e.uk", None),
    ("aws-iso-f", "us-isof-south-1", "csp.hci.ic.gov", None),
]

# Every documented private host: (host, partition, region, fips, dual stack).
HOSTS = [
    (f"{ACCOUNT}.dkr.ecr{fips}.{region}.{suffix}", partition, region, bool(fips), False)
    for partition, region, suffix, _ in PARTITIONS
    for fips in ("", "-fips")
] + [
    (f"{ACCOUNT}.dkr-ecr{fips}.{region}.{dual}", partition, region, bool(fips), True)
    for partition, region, _, dual in PARTITIONS
    for fips in ("", "-fips")
    if dual
]
