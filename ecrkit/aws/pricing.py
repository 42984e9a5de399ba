"""The gateway to the AWS price list: what ECR costs in a Region."""

from __future__ import annotations

import datetime as dt
from typing import Final

from typing_extensions import override

from ecrkit.aws.calls import Caller
from ecrkit.aws.iam import needs
from ecrkit.cost.prices import PriceTable
from ecrkit.ports import Listing

__all__ = ["PRICING_REGION", "PricingGateway"]

PRICING_REGION: Final = "us-east-1"
"""Where the price list is asked; its answers are about every Region (AWS Price List Query API, endpoints)."""


class PricingGateway:
    """Asks the price list of AWS; its caller must be one of `PRICING_REGION`. The calls cost nothing."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @needs("pricing:GetProducts")
    def ecr_products(self, region: str) -> Listing[str]:
        """Return every product of ECR in a Region, as JSON texts. Calls: one for each 100.

        Raises:
            AwsCallFailed: when walked, and AWS refused.
        """
        return self._caller.listing(
            "GetProducts",
            {
                "ServiceCode": "AmazonECR",
                "Filters": [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": region}],
                "FormatVersion": "aws_v1",
                "MaxResults": 100,
            },
            lambda answer: list(answer.get("PriceList") or ()),
            resource=f"AmazonECR in {region}",
            token="NextToken",  # noqa: S106 - a page token, no secret
        )

    def prices(self, region: str, *, as_of: dt.date) -> PriceTable:
        """Return the price table of a Region.

        Raises:
            InvalidInput: the price list has no storage price for it.
        """
        return PriceTable.from_products(self.ecr_products(region), region=region, as_of=as_of)

    @override
    def __repr__(self) -> str:
        return "<PricingGateway>"
