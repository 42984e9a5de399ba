"""The policies of a VPC's endpoints for ECR (EC2 API reference, DescribeVpcEndpoints)."""

from __future__ import annotations

from typing import Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.aws.calls import Caller
from ecrkit.aws.iam import needs

__all__ = ["EndpointPolicy", "VpcEndpoints"]

_SERVICES: Final = (".ecr.api", ".ecr.dkr", ".s3")


@attrs.frozen(kw_only=True)
class EndpointPolicy(Record):
    """One endpoint: its service (`ecr.api`, `ecr.dkr` or `s3`), its state, and the text of its policy, if it has one.

    `ecr.api` carries GetAuthorizationToken, `ecr.dkr` the pull itself, and `s3` the layers.
    """

    endpoint: str
    service: str
    state: str
    text: str | None


class VpcEndpoints:
    """Reads the endpoints that pulls go through. Make one with `VpcEndpoints(session.caller("ec2"))`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @needs("ec2:DescribeVpcEndpoints")
    def policies(self, vpc: str) -> tuple[EndpointPolicy, ...]:
        """Return the endpoints of ECR and S3 in a VPC; none when its pulls go through the internet.

        Pass a text to `explain_pull` in `Policies(vpc_endpoint=...)`.
        """
        listing = self._caller.listing(
            "DescribeVpcEndpoints",
            {"Filters": [{"Name": "vpc-id", "Values": [vpc]}]},
            lambda answer: list(answer.get("VpcEndpoints") or ()),
            resource=vpc,
            token="NextToken",  # noqa: S106 the name of a member
        )
        found: list[EndpointPolicy] = []
        for raw in listing:
            service = next((s for s in _SERVICES if str(raw.get("ServiceName", "")).endswith(s)), None)
            if service is not None:
                found.append(
                    EndpointPolicy(
                        endpoint=str(raw["VpcEndpointId"]), service=service.removeprefix("."),
                        state=str(raw.get("State", "")), text=raw.get("PolicyDocument"),
                    )
                )  # fmt: skip
        return tuple(found)
