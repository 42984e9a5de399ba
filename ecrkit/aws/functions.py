"""The gateway to AWS Lambda: which images its functions run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ecrkit.aws.calls import Caller
from ecrkit.aws.iam import needs
from ecrkit.deployments.functions import uses_of_function
from ecrkit.deployments.in_use import Gap, InUse, Use
from ecrkit.errors import AwsCallFailed, NotFound
from ecrkit.ports import Listing

__all__ = ["LambdaGateway"]

_PAGE: Final = 50


class LambdaGateway:
    """Asks Lambda of one account and Region what runs. What is refused becomes a gap, never an empty answer."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._region: str = caller.client.meta.region_name

    @needs("lambda:ListFunctions", "lambda:GetFunction")
    def in_use(self, *, versions: bool = True) -> InUse:
        """Return the image of every function that is made of one, with the digest that Lambda resolved.

        Calls: one for each 50 functions (or versions), and one for each that is made of an image.

        Args:
            versions: published versions too, which aliases may point at; else only `$LATEST`.
        """
        uses: list[Use] = []
        gaps: list[Gap] = []
        try:
            for about in self._listed(versions):
                if about.get("PackageType") == "Image":
                    self._function(about, uses, gaps)
        except AwsCallFailed as fault:
            gaps.append(Gap(where=f"lambda functions of {self._region}", why=str(fault)))
        return InUse(uses, gaps=gaps)

    def _listed(self, versions: bool) -> Listing[Mapping[str, Any]]:
        asked = {"MaxItems": _PAGE} | ({"FunctionVersion": "ALL"} if versions else {})

        def fetch(marker: str | None) -> tuple[list[Mapping[str, Any]], str | None]:
            answer = self._caller.call("ListFunctions", asked if marker is None else {**asked, "Marker": marker})
            return list(answer.get("Functions") or ()), answer.get("NextMarker")

        return Listing(fetch)

    def _function(self, about: Mapping[str, Any], uses: list[Use], gaps: list[Gap]) -> None:
        arn = str(about.get("FunctionArn") or about.get("FunctionName"))
        try:
            answer = self._caller.call("GetFunction", {"FunctionName": arn}, resource=arn)
        except NotFound:
            return  # deleted since it was listed
        except AwsCallFailed as fault:
            gaps.append(Gap(where=arn, why=str(fault)))
            return
        found = uses_of_function(answer)
        uses.extend(found)
        if not found:
            gaps.append(Gap(where=arn, why="it is made of an image, but Lambda did not name it"))
