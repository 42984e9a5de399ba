"""An engine with principals decides every call as IAM does; one without decides nothing."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ecrkit.access import Scope, presets, sharing
from ecrkit.access.actions import action as known_action
from ecrkit.errors import InvalidInput
from ecrkit.local import Engine, LocalPrincipal, ServiceFault, attach, client
from ecrkit.local.enforcement import action_of
from ecrkit.local.engine import operation_table

ME, PARTNER = "123456789012", "222222222222"
REGION = "us-east-1"
HERE = Scope(ME, REGION)
REPO = f"arn:aws:ecr:{REGION}:{ME}:repository/app"
SESSION = f"arn:aws:sts::{ME}:assumed-role/node/ecrkit"
DIGEST = "sha256:" + "1" * 64
READ = {"repositoryName": "app", "imageIds": [{"imageTag": "v1"}]}


def policy(effect: str = "Allow", action: Any = "ecr:*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": effect, "Action": action, "Resource": resource, **more}],
    }


def on_repository(who: Any, action: Any = "ecr:*", effect: str = "Allow", **more: Any) -> str:
    statement = {"Effect": effect, "Principal": {"AWS": who}, "Action": action, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def engine_of(*, tags: list[dict[str, str]] | None = None, **principals: Any) -> Engine:
    engine = Engine(principals=principals)
    engine.call("CreateRepository", {"repositoryName": "app", "tags": tags or []})
    return engine


def refused(engine: Engine, operation: str, params: dict[str, Any] | None = None, **more: Any) -> ServiceFault:
    more.setdefault("caller", "node")
    with pytest.raises(ServiceFault) as caught:
        engine.call(operation, params or {}, **more)
    return caught.value


def denied(engine: Engine, operation: str, params: dict[str, Any] | None = None, **more: Any) -> str:
    fault = refused(engine, operation, params, **more)
    assert (fault.code, fault.status) == ("AccessDeniedException", 400)
    return fault.message


class TestWording:
    """A refusal reads as IAM writes it, with HTTP 400 (IAM user guide, access denied error messages)."""

    def test_not_allowed(self):
        engine = engine_of(node=presets.pull(HERE))
        assert denied(engine, "DeleteRepository", {"repositoryName": "app"}) == (
            f"User: {SESSION} is not authorized to perform: ecr:DeleteRepository on resource: {REPO} because no "
            "identity-based policy allows the ecr:DeleteRepository action"
        )
        assert "app" in engine.registry().repositories

    def test_explicit_deny(self):
        engine = engine_of(node=policy())
        text = on_repository("*", "ecr:BatchGetImage", "Deny")
        engine.call("SetRepositoryPolicy", {"repositoryName": "app", "policyText": text})
        assert denied(engine, "BatchGetImage", READ).endswith("with an explicit deny in a resource-based policy")

    def test_a_client_sees_the_typed_exception(self):
        ecr = client(engine_of(node=presets.pull(HERE)), caller="node")
        with pytest.raises(ClientError) as caught:
            ecr.describe_repositories()
        found = caught.value.response
        assert found["Error"]["Code"] == "AccessDeniedException"
        assert found["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert f"on resource: arn:aws:ecr:{REGION}:{ME}:repository/* because" in found["Error"]["Message"]

    def test_refused_decisions_are_kept(self):
        engine = engine_of(node=())
        denied(engine, "DescribeRegistry")
        assert engine.enforcement is not None
        assert [d.blocked_by for d in engine.enforcement.denied] == [("identity_policy",)]


class TestWhoAsks:
    """A role asks through a session; whoever is no principal has no credentials."""

    @pytest.mark.parametrize(
        "caller", ["node", f"arn:aws:iam::{ME}:role/node", SESSION, f"arn:aws:sts::{ME}:assumed-role/node/i-0abc"]
    )
    def test_forms_of_a_role(self, caller: str):
        engine = engine_of(node=presets.pull(HERE))
        assert engine.call("BatchGetImage", READ, caller=caller)["failures"]
        denied(engine, "DescribeRepositories", caller=caller)

    @pytest.mark.parametrize(
        "caller", ["nod", f"arn:aws:iam::{ME}:role/other", f"arn:aws:sts::{PARTNER}:assumed-role/node/x", "", "root"]
    )
    def test_nobody(self, caller: str):
        engine = engine_of(node=policy())
        assert refused(engine, "DescribeRegistry", caller=caller).code == "UnrecognizedClientException"

    def test_root_user_is_not_limited_by_identity_policies(self):
        engine = engine_of(node=())
        assert engine.call("DescribeRepositories")["repositories"]
        assert "no resource-based policy" in denied(engine, "BatchGetImage", READ | {"registryId": ME}, caller=None,
                                                    account=PARTNER)  # fmt: skip

    def test_calls_carry_the_arn(self):
        engine = engine_of(node=policy())
        engine.call("DescribeRepositories", caller="node")
        assert engine.calls[-1].caller == SESSION

    def test_a_principal_calls_from_its_own_account(self):
        engine = engine_of(partner=LocalPrincipal(arn=f"arn:aws:iam::{PARTNER}:user/ci", identity=policy()))
        made = engine.call("CreateRepository", {"repositoryName": "theirs"}, caller="partner")
        assert made["repository"]["registryId"] == PARTNER

    def test_role_path_counts(self):
        arn = f"arn:aws:iam::{ME}:role/eks/nodes/node"
        engine = engine_of(node=LocalPrincipal(arn=arn))
        text = on_repository(arn, ["ecr:BatchGetImage"])
        engine.call("SetRepositoryPolicy", {"repositoryName": "app", "policyText": text})
        assert engine.call("BatchGetImage", READ, caller="node")["failures"]

    @pytest.mark.parametrize("arn", ["node", "lambda.amazonaws.com", f"arn:aws:s3:::{ME}"])
    def test_no_principal(self, arn: str):
        with pytest.raises(InvalidInput, match="is no ARN"):
            Engine(principals={"x": LocalPrincipal(arn=arn)})

    def test_two_of_one_arn(self):
        one = LocalPrincipal(arn=f"arn:aws:iam::{ME}:role/node")
        with pytest.raises(InvalidInput, match="taken by another"):
            Engine(principals={"a": one, "b": one})


class TestResources:
    """Each operation is asked about what it names (Service Authorization Reference)."""

    def test_pattern_of_the_identity_policy(self):
        engine = engine_of(node=policy(action=["ecr:BatchGetImage", "ecr:DescribeRepositories"], resource=REPO))
        assert engine.call("BatchGetImage", READ, caller="node")["failures"]
        assert engine.call("DescribeRepositories", {"repositoryNames": ["app"]}, caller="node")["repositories"]
        denied(engine, "DescribeRepositories")
        assert "repository/db because" in denied(engine, "DescribeRepositories", {"repositoryNames": ["app", "db"]})

    def test_a_refusal_comes_before_not_found(self):
        engine = engine_of(node=())
        denied(engine, "DescribeImages", {"repositoryName": "absent"})

    def test_token_needs_star_and_an_identity_policy(self):
        engine = engine_of(node=policy(resource=REPO))
        assert "on resource: * because no identity-based" in denied(engine, "GetAuthorizationToken")

    def test_referrers_are_authorised_by_batch_get_image(self):
        engine = engine_of(node=policy(action="ecr:BatchGetImage"))
        asked = {"repositoryName": "app", "subjectId": {"imageDigest": DIGEST}}
        assert engine.call("ListImageReferrers", asked, caller="node") == {"referrers": []}
        engine.enforce({"node": policy(action="ecr:ListImageReferrers")})
        assert "perform: ecr:BatchGetImage" in denied(engine, "ListImageReferrers", asked)

    def test_every_operation_has_an_action(self):
        unknown = {r.operation for r in operation_table() if known_action(action_of(r.operation)) is None}
        assert all("ReplicationBackfill" in name for name in unknown)

    def test_a_name_that_only_looks_alike_authorises_nothing(self):
        assert action_of("BatchGetImages") == "ecr:BatchGetImages"

    def test_tagging_on_creation_needs_tag_resource(self):
        engine = engine_of(node=policy(action="ecr:CreateRepository"))
        engine.call("CreateRepository", {"repositoryName": "aa"}, caller="node")
        asked = {"repositoryName": "bb", "tags": [{"Key": "team", "Value": "x"}]}
        assert "ecr:TagResource" in denied(engine, "CreateRepository", asked)
        assert "bb" not in engine.registry().repositories


class TestConditions:
    """Keys of the request, the resource and the principal reach the policies; what nobody knows is no yes."""

    def test_resource_tag(self):
        limit = {"StringEquals": {"aws:ResourceTag/team": "a"}}
        engine = engine_of(tags=[{"Key": "team", "Value": "a"}], node=policy(Condition=limit))
        assert engine.call("BatchGetImage", READ, caller="node")["failures"]
        engine.call("UntagResource", {"resourceArn": REPO, "tagKeys": ["team"]})
        denied(engine, "BatchGetImage", READ)

    def test_request_tag(self):
        engine = engine_of(node=policy(Condition={"StringEquals": {"aws:RequestTag/team": "a"}}))
        for value, good in (("a", True), ("b", False)):
            asked = {"resourceArn": REPO, "tags": [{"Key": "team", "Value": value}]}
            if good:
                engine.call("TagResource", asked, caller="node")
            else:
                denied(engine, "TagResource", asked)

    def test_account_setting(self):
        engine = engine_of(node=policy(Condition={"StringEquals": {"ecr:AccountSetting": "BLOB_MOUNTING"}}))
        engine.call("GetAccountSetting", {"name": "BLOB_MOUNTING"}, caller="node")
        denied(engine, "GetAccountSetting", {"name": "REGISTRY_POLICY_SCOPE"})

    def test_time_is_the_engines(self):
        engine = engine_of()
        until = (engine.clock.now() + dt.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        engine.enforce({"node": policy(Condition={"DateLessThan": {"aws:CurrentTime": until}})})
        engine.call("DescribeRepositories", caller="node")
        engine.advance(dt.timedelta(hours=2))
        denied(engine, "DescribeRepositories")

    def test_unknown_is_refused(self):
        limited = policy(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})
        arn = f"arn:aws:iam::{ME}:role/node"
        engine = engine_of(node=LocalPrincipal(arn=arn, identity=limited))
        denied(engine, "DescribeRegistry")
        engine.enforce({"node": LocalPrincipal(arn=arn, identity=limited, context={"aws:SourceIp": "10.1.1.1"})})
        engine.call("DescribeRegistry", caller="node")

    def test_a_document_that_cannot_be_read_allows_nothing(self):
        engine = engine_of(node='{"Version": "2012-10-17", "Statement": [{"Effect": "allow"}]}')
        denied(engine, "DescribeRegistry")


class TestLimits:
    """Boundary, session, service control, resource control and endpoint policies only take away."""

    @pytest.mark.parametrize("member", ["permissions_boundary", "session", "service_control", "vpc_endpoint"])
    def test_each_one(self, member: str):
        who = {"Principal": "*"} if member == "vpc_endpoint" else {}
        limit = policy(action="ecr:BatchGetImage", **who)
        principal = LocalPrincipal(arn=f"arn:aws:iam::{ME}:role/node", identity=policy(), **{member: limit})
        engine = engine_of(node=principal)
        engine.call("BatchGetImage", READ, caller="node")
        assert denied(engine, "DescribeImages", {"repositoryName": "app"}).count("because no ") == 1

    def test_resource_control_of_the_owner(self):
        engine = engine_of()
        deny = policy("Deny", Principal="*")
        engine.enforce({"node": policy()}, resource_control={ME: deny})
        assert "resource control policy" in denied(engine, "BatchGetImage", READ)
        engine.enforce({"node": policy()}, resource_control={PARTNER: deny})
        engine.call("BatchGetImage", READ, caller="node")


class TestAcrossAccounts:
    """Both sides must allow; a registry policy of scope V2 counts as the resource side (ECR user guide)."""

    @pytest.fixture
    def engine(self) -> Engine:
        arn = f"arn:aws:iam::{PARTNER}:role/node"
        return engine_of(
            node=LocalPrincipal(arn=arn, identity=presets.pull(HERE)), bare=LocalPrincipal(arn=arn + "2")
        )  # fmt: skip

    def test_identity_alone(self, engine: Engine):
        assert "no resource-based policy" in denied(engine, "BatchGetImage", READ | {"registryId": ME})

    def test_both(self, engine: Engine):
        asked = {"repositoryName": "app", "policyText": on_repository(PARTNER)}
        engine.call("SetRepositoryPolicy", asked)
        assert engine.call("BatchGetImage", READ | {"registryId": ME}, caller="node")["failures"]
        assert "no identity-based" in denied(engine, "BatchGetImage", READ | {"registryId": ME}, caller="bare")

    def test_organisation(self, engine: Engine):
        text = sharing.organization_pull(organization="o-a").to_json()
        engine.call("SetRepositoryPolicy", {"repositoryName": "app", "policyText": text})
        denied(engine, "BatchGetImage", READ | {"registryId": ME})
        arn = f"arn:aws:iam::{PARTNER}:role/node"
        member = LocalPrincipal(arn=arn, identity=presets.pull(HERE), context={"aws:PrincipalOrgID": "o-a"})
        engine.enforce({"node": member})
        assert engine.call("BatchGetImage", READ | {"registryId": ME}, caller="node")["failures"]

    def test_registry_policy(self, engine: Engine):
        text = json.loads(on_repository(PARTNER, "ecr:BatchGetImage"))
        text["Statement"][0]["Resource"] = REPO
        engine.call("PutRegistryPolicy", {"policyText": json.dumps(text)})
        assert engine.call("BatchGetImage", READ | {"registryId": ME}, caller="node")["failures"]
        engine.registry().settings["REGISTRY_POLICY_SCOPE"] = "V1"
        denied(engine, "BatchGetImage", READ | {"registryId": ME})

    def test_same_account_needs_one(self):
        engine = engine_of(node=())
        engine.call("SetRepositoryPolicy", {"repositoryName": "app", "policyText": on_repository(ME)})
        denied(engine, "BatchGetImage", READ)  # naming the account only delegates
        role = on_repository(f"arn:aws:iam::{ME}:role/node")
        engine.call("SetRepositoryPolicy", {"repositoryName": "app", "policyText": role})
        assert engine.call("BatchGetImage", READ, caller="node")["failures"]


class TestPolicyRefusals:
    """What ECR itself refuses in a policy (ECR user guide, private repository policies)."""

    @pytest.mark.parametrize(
        ("who", "action"),
        [("arn:aws:iam::123456789012:*", "ecr:*"), ("arn:aws:iam::123456789012:role/*", "ecr:*"), ("garbage", "ecr:*"),
         ("*", "ecr:NoSuchThing"), ("*", "s3:GetObject"), ("*", "ecr:ListImageReferrers")],
    )  # fmt: skip
    def test_invalid(self, who: str, action: str):
        engine = engine_of()
        fault = refused(engine, "SetRepositoryPolicy", {"repositoryName": "app",
                        "policyText": on_repository(who, action)}, caller=None)  # fmt: skip
        assert fault.message.endswith("'Invalid repository policy provided'")
        statement = json.loads(on_repository(who, action))
        statement["Statement"][0]["Resource"] = "*"
        fault = refused(engine, "PutRegistryPolicy", {"policyText": json.dumps(statement)}, caller=None)
        assert fault.message.endswith("'Invalid registry policy provided'")

    @pytest.mark.parametrize("principals", [None, {"node": ()}])
    def test_lock_out_needs_force(self, principals: Any):
        engine = Engine(principals=principals)
        engine.call("CreateRepository", {"repositoryName": "app"})
        asked = {"repositoryName": "app", "policyText": on_repository("*", "ecr:Set*", "Deny")}
        assert "use force" in refused(engine, "SetRepositoryPolicy", asked, caller=None).message
        assert engine.registry().repository("app").policy_text is None
        engine.call("SetRepositoryPolicy", {**asked, "force": True})

    def test_a_partner_may_lock_itself_out(self):
        arn = f"arn:aws:iam::{PARTNER}:role/node"
        engine = engine_of(node=LocalPrincipal(arn=arn, identity=policy()))
        engine.call("SetRepositoryPolicy", {"repositoryName": "app", "policyText": on_repository(PARTNER)})
        asked = {"registryId": ME, "repositoryName": "app", "policyText": on_repository(PARTNER, "ecr:BatchGetImage")}
        assert "use force" in refused(engine, "SetRepositoryPolicy", asked).message

    def test_what_is_not_known_locks_nobody_out_without_principals(self):
        engine = Engine()
        engine.call("CreateRepository", {"repositoryName": "app"})
        text = on_repository("*", "ecr:*", "Deny", Condition={"StringNotEquals": {"aws:PrincipalOrgID": "o-a"}})
        engine.call("SetRepositoryPolicy", {"repositoryName": "app", "policyText": text})


class TestWithoutPrincipals:
    """Enforcement is off unless asked for, and can be ended."""

    def test_off(self):
        engine = Engine()
        assert engine.enforcement is None
        engine.call("CreateRepository", {"repositoryName": "app"}, caller="arn:aws:iam::999999999999:role/any")

    def test_ended(self):
        engine = engine_of(node=())
        denied(engine, "DescribeRegistry")
        engine.enforce(None)
        engine.call("DescribeRegistry", caller="node")

    def test_two_clients_of_one_engine(self):
        engine = engine_of(node=presets.pull(HERE), ci=presets.push(HERE))
        node, ci = client(engine, caller="node"), client(engine)
        attach(ci, engine, caller="ci")
        assert ci.initiate_layer_upload(repositoryName="app")["uploadId"]
        with pytest.raises(ClientError, match="AccessDenied"):
            node.initiate_layer_upload(repositoryName="app")
