"""The policies of a user or role, gathered from IAM with read-only calls.

Source: IAM API reference, GetRole, GetUser, GetPolicy, GetPolicyVersion and the List operations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from ecrkit.access.evaluate import Policies
from ecrkit.access.gathering import PrincipalDocuments
from ecrkit.aws.calls import Caller
from ecrkit.aws.iam import needs
from ecrkit.errors import AwsCallFailed, EcrkitError

__all__ = ["IamDocuments"]

_ARN: Final = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):(?:iam|sts)::(?P<account>[0-9]{12}):(?P<kind>[a-z-]+)(?:/(?P<path>.+))?"
)
_EVERYTHING: Final = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


class IamDocuments:
    """Reads what IAM holds about principals of the caller's own account; satisfies `access.DocumentSource`.

    IAM tells nothing about principals of other accounts, about session policies, and about policies of an
    organisation. Make one with `IamDocuments(session.caller("iam"))`.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @needs(
        "iam:GetGroupPolicy",
        "iam:GetPolicy",
        "iam:GetPolicyVersion",
        "iam:GetRole",
        "iam:GetRolePolicy",
        "iam:GetUser",
        "iam:GetUserPolicy",
        "iam:ListAttachedGroupPolicies",
        "iam:ListAttachedRolePolicies",
        "iam:ListAttachedUserPolicies",
        "iam:ListGroupPolicies",
        "iam:ListGroupsForUser",
        "iam:ListRolePolicies",
        "iam:ListUserPolicies",
    )
    def documents_of(self, principal: str) -> PrincipalDocuments:
        """Return the documents of a role, of a session of one, of a user, or of the root user.

        Attached and inline policies, those of a user's groups, the permissions boundary, and the tags as condition
        keys. A call that fails makes its kind `unreadable` and stands in `notes`; this method does not raise for it.

        Calls for a role: 3, 1 for each inline policy, and 2 for each attached policy and the boundary.
        """
        found = _ARN.fullmatch(principal)
        if found is None:
            if principal.startswith("arn:"):
                return _nothing(principal, "no ARN of a user, a role or a session")
            # A service has no identity policies: only resource policies decide.
            return PrincipalDocuments(principal=principal, policies=Policies())
        kind, path, account = found["kind"], found["path"] or "", found["account"]
        if kind == "root":
            return PrincipalDocuments(principal=principal, policies=Policies(identity=[_EVERYTHING]))
        gathering = _Gathering(self._caller, account)
        if kind == "user" and path:
            return gathering.user(principal, path.rpartition("/")[2])
        if kind == "role" and path:
            return gathering.role(principal, path.rpartition("/")[2])
        if kind == "assumed-role" and "/" in path:
            return gathering.role(principal, path.partition("/")[0])
        return _nothing(principal, f"IAM holds no policies of a principal of kind {kind}")


def _nothing(principal: str, why: str) -> PrincipalDocuments:
    policies = Policies(unreadable={"identity", "permissions_boundary"})
    return PrincipalDocuments(principal=principal, policies=policies, notes=(f"{principal}: {why}",))


class _Gathering:
    """One principal's documents, and what went wrong on the way."""

    def __init__(self, caller: Caller, account: str) -> None:
        self._caller = caller
        self._account = account
        self._identity: list[Any] = []
        self._boundary: Any = None
        self._unreadable: set[str] = set()
        self._notes: list[str] = []

    def _try(self, kind: str, what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except EcrkitError as fault:
            self._unreadable.add(kind)
            self._notes.append(f"{what} could not be read: {fault}")

    def role(self, principal: str, name: str) -> PrincipalDocuments:
        about = self._head("GetRole", "Role", {"RoleName": name})
        if about is None:
            return self._made(principal, None)
        self._lists("Role", {"RoleName": name}, f"role {name}")
        return self._made(principal, about)

    def user(self, principal: str, name: str) -> PrincipalDocuments:
        about = self._head("GetUser", "User", {"UserName": name})
        if about is None:
            return self._made(principal, None)
        self._lists("User", {"UserName": name}, f"user {name}")

        def groups() -> None:
            listing = self._listing("ListGroupsForUser", {"UserName": name}, lambda a: list(a.get("Groups") or ()))
            for group in listing:
                self._lists("Group", {"GroupName": group["GroupName"]}, f"group {group['GroupName']}")

        self._try("identity", f"the groups of user {name}", groups)
        return self._made(principal, about)

    def _head(self, operation: str, member: str, asked: Mapping[str, str]) -> Mapping[str, Any] | None:
        """Return the role or user, or None when it cannot be read or is not the one that was asked for."""
        name = next(iter(asked.values()))
        try:
            about: Mapping[str, Any] = self._caller.call(operation, asked, resource=name)[member]
        except AwsCallFailed as fault:
            self._unreadable |= {"identity", "permissions_boundary"}
            missing = fault.code.startswith("NoSuchEntity")
            where = "there is none of that name in the account of these credentials" if missing else str(fault)
            self._notes.append(f"{member.lower()} {name} could not be read: {where}")
            return None
        if f"::{self._account}:" not in str(about.get("Arn")):
            # Names are looked up in one's own account, where a namesake may live.
            self._unreadable |= {"identity", "permissions_boundary"}
            self._notes.append(
                f"{member.lower()} {name} is of account {self._account}, and IAM tells only about {about.get('Arn')}"
            )
            return None
        boundary = (about.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn")
        if boundary:

            def read() -> None:
                self._boundary = self._managed(str(boundary))

            self._try("permissions_boundary", f"the permissions boundary {boundary}", read)
        return about

    def _lists(self, kind: str, asked: Mapping[str, str], of: str) -> None:
        def attached() -> None:
            listing = self._listing(
                f"ListAttached{kind}Policies", asked, lambda a: list(a.get("AttachedPolicies") or ())
            )  # fmt: skip
            for policy in listing:
                arn = str(policy["PolicyArn"])
                self._try("identity", f"the policy {arn}", lambda arn=arn: self._identity.append(self._managed(arn)))  # type: ignore[misc]

        def inline() -> None:
            listing = self._listing(f"List{kind}Policies", asked, lambda a: list(a.get("PolicyNames") or ()))
            for name in listing:
                self._try("identity", f"the inline policy {name} of {of}", lambda name=name: one(str(name)))  # type: ignore[misc]

        def one(name: str) -> None:
            answer = self._caller.call(f"Get{kind}Policy", {**asked, "PolicyName": name}, resource=name)
            self._identity.append(answer["PolicyDocument"])

        self._try("identity", f"the attached policies of {of}", attached)
        self._try("identity", f"the inline policies of {of}", inline)

    def _listing(
        self, operation: str, asked: Mapping[str, str], convert: Callable[[dict[str, Any]], list[Any]]
    ) -> tuple[Any, ...]:
        about = next(iter(asked.values()))
        return self._caller.listing(operation, asked, convert, resource=about, token="Marker").all()  # noqa: S106

    def _managed(self, arn: str) -> Any:
        version = self._caller.call("GetPolicy", {"PolicyArn": arn}, resource=arn)["Policy"]["DefaultVersionId"]
        asked = {"PolicyArn": arn, "VersionId": version}
        return self._caller.call("GetPolicyVersion", asked, resource=arn)["PolicyVersion"]["Document"]

    def _made(self, principal: str, about: Mapping[str, Any] | None) -> PrincipalDocuments:
        context: dict[str, Any] = {}
        exact = principal
        if about is not None:
            arn = str(about["Arn"])
            context["aws:PrincipalArn"] = arn
            context |= {f"aws:PrincipalTag/{t['Key']}": str(t["Value"]) for t in about.get("Tags") or ()}
            exact = principal if ":assumed-role/" in principal else arn
        policies = Policies(
            identity=self._identity, permissions_boundary=self._boundary, unreadable=self._unreadable
        )  # fmt: skip
        return PrincipalDocuments(
            principal=exact, policies=policies, context=context, notes=tuple(self._notes)
        )  # fmt: skip
