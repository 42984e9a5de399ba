"""A principal's documents are gathered from IAM, and what could not be read is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from ecrkit.access import Policies, Request, evaluate
from ecrkit.aws.iam_documents import IamDocuments
from ecrkit.aws.session import AwsSession, offline_session
from ecrkit.aws.vpc_endpoints import VpcEndpoints
from ecrkit.local import ManualClock
from tests.unit.aws.conftest import Script, client_error

ME = "123456789012"
READ, TOKEN = "ecr:BatchGetImage", "ecr:GetAuthorizationToken"


def allow(action: str) -> str:
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}
    )  # fmt: skip


@pytest.fixture
def session() -> Iterator[AwsSession]:
    with mock_aws():
        yield AwsSession(offline_session("us-east-1"), workers=1, services=("iam",), clock=ManualClock(), rates={})


@pytest.fixture
def iam(session: AwsSession) -> Any:
    return session.client("iam")


@pytest.fixture
def reader(session: AwsSession) -> IamDocuments:
    return IamDocuments(session.caller("iam"))


def make_role(iam: Any, name: str = "node", **more: Any) -> str:
    return str(iam.create_role(RoleName=name, AssumeRolePolicyDocument=allow("sts:AssumeRole"), **more)["Role"]["Arn"])


def may(policies: Policies, action: str) -> str:
    return evaluate(Request.build(f"arn:aws:iam::{ME}:role/node", action), policies).outcome


class TestRole:
    """Attached policies in their default version, inline ones, the boundary and the tags (IAM API reference)."""

    def test_all_kinds(self, iam: Any, reader: IamDocuments):
        arn = make_role(iam, Path="/eks/", Tags=[{"Key": "team", "Value": "a"}])
        attached = iam.create_policy(PolicyName="read", PolicyDocument=allow("ecr:ListImages"))["Policy"]["Arn"]
        iam.create_policy_version(PolicyArn=attached, PolicyDocument=allow(READ), SetAsDefault=True)
        iam.attach_role_policy(RoleName="node", PolicyArn=attached)
        iam.put_role_policy(RoleName="node", PolicyName="token", PolicyDocument=allow(TOKEN))
        found = reader.documents_of(arn)
        assert (found.principal, found.notes, found.policies.unreadable) == (arn, (), frozenset())
        assert found.context == {"aws:PrincipalArn": arn, "aws:PrincipalTag/team": "a"}
        outcomes = [may(found.policies, a) for a in (READ, TOKEN, "ecr:ListImages")]
        assert outcomes == ["Allowed", "Allowed", "ImplicitlyDenied"]

    def test_boundary_takes_away(self, iam: Any, reader: IamDocuments):
        boundary = iam.create_policy(PolicyName="b", PolicyDocument=allow(TOKEN))["Policy"]["Arn"]
        arn = make_role(iam, PermissionsBoundary=boundary)
        iam.put_role_policy(RoleName="node", PolicyName="all", PolicyDocument=allow("ecr:*"))
        found = reader.documents_of(arn)
        assert [may(found.policies, a) for a in (READ, TOKEN)] == ["ImplicitlyDenied", "Allowed"]

    def test_session_reads_its_role(self, iam: Any, reader: IamDocuments):
        arn = make_role(iam, Path="/eks/")
        session = f"arn:aws:sts::{ME}:assumed-role/node/i-0abc"
        found = reader.documents_of(session)
        assert (found.principal, found.context["aws:PrincipalArn"]) == (session, arn)

    def test_many_pages(self, iam: Any, reader: IamDocuments):
        arn = make_role(iam)
        for number in range(120):
            iam.put_role_policy(RoleName="node", PolicyName=f"p{number}", PolicyDocument=allow(READ))
        assert len(reader.documents_of(arn).policies.identity) == 120

    def test_no_such_role(self, reader: IamDocuments):
        found = reader.documents_of(f"arn:aws:iam::{ME}:role/absent")
        assert found.policies.unreadable == {"identity", "permissions_boundary"}
        assert "none of that name in the account of these credentials" in found.notes[0]

    def test_a_namesake_in_ones_own_account_is_not_it(self, iam: Any, reader: IamDocuments):
        make_role(iam)
        iam.put_role_policy(RoleName="node", PolicyName="all", PolicyDocument=allow("ecr:*"))
        found = reader.documents_of("arn:aws:iam::999999999999:role/node")
        assert found.policies.identity == ()
        assert may(found.policies, READ) == "Unknown"


class TestUser:
    """A user has the policies of its groups too."""

    def test_groups(self, iam: Any, reader: IamDocuments):
        arn = iam.create_user(UserName="ci")["User"]["Arn"]
        iam.put_user_policy(UserName="ci", PolicyName="token", PolicyDocument=allow(TOKEN))
        iam.create_group(GroupName="pullers")
        iam.put_group_policy(GroupName="pullers", PolicyName="read", PolicyDocument=allow(READ))
        iam.add_user_to_group(GroupName="pullers", UserName="ci")
        found = reader.documents_of(arn)
        assert [may(found.policies, a) for a in (READ, TOKEN)] == ["Allowed", "Allowed"]
        assert found.notes == ()


class TestOthers:
    """The root user is not limited; services and foreign kinds have nothing in IAM."""

    def test_root(self, reader: IamDocuments):
        assert may(reader.documents_of(f"arn:aws:iam::{ME}:root").policies, READ) == "Allowed"

    def test_service(self, reader: IamDocuments):
        found = reader.documents_of("lambda.amazonaws.com")
        assert (found.policies, found.notes) == (Policies(), ())

    @pytest.mark.parametrize("arn", [f"arn:aws:iam::{ME}:oidc-provider/x", "arn:aws:s3:::bucket", "arn:"])
    def test_no_principal_of_iam(self, reader: IamDocuments, arn: str):
        found = reader.documents_of(arn)
        assert found.policies.unreadable == {"identity", "permissions_boundary"}
        assert arn in found.notes[0]


ROLE = {"Arn": f"arn:aws:iam::{ME}:role/node", "PermissionsBoundary": {"PermissionsBoundaryArn": "arn:b"}}
ANSWERS = {
    "GetRole": {"Role": ROLE},
    "ListAttachedRolePolicies": {"AttachedPolicies": [{"PolicyArn": "arn:p"}]},
    "ListRolePolicies": {"PolicyNames": ["inline"]},
    "GetRolePolicy": {"PolicyDocument": json.loads(allow(READ))},
    "GetPolicy": {"Policy": {"DefaultVersionId": "v2"}},
    "GetPolicyVersion": {"PolicyVersion": {"Document": json.loads(allow(TOKEN))}},
}


class TestRefusedReads:
    """What may not be read is unknown, and the rest is still read."""

    def gathered(self, session: AwsSession, refuse: str):
        script = Script(
            lambda operation, _: client_error("AccessDenied", operation=operation)
            if operation == refuse else ANSWERS[operation]
        )  # fmt: skip
        script.install(session.client("iam"))
        return IamDocuments(session.caller("iam")).documents_of(ROLE["Arn"]), script

    @pytest.mark.parametrize("refused", sorted(ANSWERS))
    def test_each_call(self, session: AwsSession, refused: str):
        found, _ = self.gathered(session, refused)
        both = {"identity", "permissions_boundary"}
        boundary = {"GetPolicy", "GetPolicyVersion", "GetRole"}
        assert found.policies.unreadable == (both if refused in boundary else {"identity"})
        assert refused in " ".join(found.notes)

    def test_every_call_is_declared(self, session: AwsSession):
        from ecrkit.aws.iam import permissions

        _, script = self.gathered(session, "none")
        declared = permissions()["IamDocuments.documents_of"]
        assert {f"iam:{name}" for name in script.operations} <= set(declared)
        assert all(name.startswith(("iam:Get", "iam:List")) for name in declared)


class TestEndpoints:
    """The endpoints of ECR and S3 in a VPC with their policies (EC2, DescribeVpcEndpoints)."""

    def test_policies(self):
        with mock_aws():
            session = AwsSession(offline_session("us-east-1"), workers=1, services=("ec2",), rates={})
            ec2 = session.client("ec2")
            vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
            for service in ("ecr.api", "ecr.dkr", "s3", "sts"):
                ec2.create_vpc_endpoint(
                    VpcId=vpc, ServiceName=f"com.amazonaws.us-east-1.{service}", PolicyDocument=allow("*"),
                    VpcEndpointType="Gateway" if service == "s3" else "Interface",
                )  # fmt: skip
            found = VpcEndpoints(session.caller("ec2")).policies(vpc)
            assert sorted(e.service for e in found) == ["ecr.api", "ecr.dkr", "s3"]
            assert {e.text for e in found} == {allow("*")}
            assert VpcEndpoints(session.caller("ec2")).policies("vpc-0other") == ()
