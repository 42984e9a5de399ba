"""Usage types of ECR as bills write them: what was used, and in which Region.

A Region stands in a usage type as a billing code of its own, and us-east-1 as a rule as none; so a rule that compares
whole names finds the bytes of one Region only, and one that looks for `TimedStorage` counts archived bytes twice.
Sources: public price list of Amazon ECR; AWS General Reference, AWS Region billing codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record

__all__ = ["BILLING_CODES", "UsageKind", "UsageType", "usage_type"]

UsageKind = Literal["storage", "archive storage", "archive retrieval", "transfer", "other"]
"""What a usage type charges for."""

BILLING_CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AFS1": "af-south-1", "APE1": "ap-east-1", "APE2": "ap-east-2", "APN1": "ap-northeast-1",
        "APN2": "ap-northeast-2", "APN3": "ap-northeast-3", "APS1": "ap-southeast-1", "APS2": "ap-southeast-2",
        "APS3": "ap-south-1", "APS4": "ap-southeast-3", "APS5": "ap-south-2", "APS6": "ap-southeast-4",
        "APS7": "ap-southeast-5", "CAN1": "ca-central-1", "CAN2": "ca-west-1", "CNN1": "cn-north-1",
        "CNW1": "cn-northwest-1", "CPT": "af-south-1", "EU": "eu-west-1", "EUC1": "eu-central-1",
        "EUC2": "eu-central-2", "EUN1": "eu-north-1", "EUS1": "eu-south-1", "EUS2": "eu-south-2", "EUW1": "eu-west-1",
        "EUW2": "eu-west-2", "EUW3": "eu-west-3", "ILC1": "il-central-1", "MEC1": "me-central-1", "MES1": "me-south-1",
        "MXC1": "mx-central-1", "SAE1": "sa-east-1", "UGE1": "us-gov-east-1", "UGW1": "us-gov-west-1",
        "USE1": "us-east-1", "USE2": "us-east-2", "USW1": "us-west-1", "USW2": "us-west-2",
    }
)  # fmt: skip
"""The Region of each billing code. A code that is not here leaves the Region unknown."""

_PATTERN: Final = re.compile(
    r"(?:(?P<code>[A-Z0-9]+)-)?"
    r"(?P<what>TimedStorage-ByteHrs|TimedStorage-Archive-ByteHrs|Retrieval-Archive|DataTransfer-.+)",
    re.ASCII,
)
_BETWEEN_REGIONS: Final = re.compile(r"(?P<code>[A-Z0-9]+)-(?P<other>[A-Z0-9]+)-AWS-(?:In|Out)-Bytes", re.ASCII)
_KINDS: Final[Mapping[str, UsageKind]] = {
    "TimedStorage-ByteHrs": "storage",
    "TimedStorage-Archive-ByteHrs": "archive storage",
    "Retrieval-Archive": "archive retrieval",
}


@attrs.frozen(kw_only=True)
class UsageType(Record):
    """A usage type, decoded. `region` is None when its billing code is not known; `kind` is `other` for what is new."""

    text: str
    kind: UsageKind
    code: str
    region: str | None

    @override
    def __str__(self) -> str:
        return f"{self.kind} in {self.region or self.code or 'an unknown Region'}"


def usage_type(text: str) -> UsageType:
    """Return a usage type of ECR, decoded. It never raises: what is not known is `other`.

    Example:
        >>> print(usage_type("EU-TimedStorage-ByteHrs"))
        storage in eu-west-1
        >>> print(usage_type("TimedStorage-ByteHrs"))
        storage in us-east-1
        >>> print(usage_type("USE1-TimedStorage-Archive-ByteHrs"))
        archive storage in us-east-1
    """
    found = _PATTERN.fullmatch(text)
    if found is not None:
        code = found["code"] or ""
        region = BILLING_CODES.get(code) if code else "us-east-1"
        return UsageType(text=text, kind=_KINDS.get(found["what"], "transfer"), code=code, region=region)
    between = _BETWEEN_REGIONS.fullmatch(text)
    if between is not None:
        code = between["code"]
        return UsageType(text=text, kind="transfer", code=code, region=BILLING_CODES.get(code))
    code = text.partition("-")[0]
    known = code if code in BILLING_CODES else ""
    return UsageType(text=text, kind="other", code=known, region=BILLING_CODES.get(known))
