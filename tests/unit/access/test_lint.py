"""Lint rules and exposure (field reports; IAM, ECR and EKS user guides)."""

from __future__ import annotations

from typing import Any

import pytest

from ecrkit.access.documents import PolicyDocument
from ecrkit.access.exposure import exposures, readable_from_outside
from ecrkit.access.lint import lint

ME = "123456789012"
ARN = f"arn:aws:ecr:eu-west-1:{ME}:repository/app"
OIDC = "oidc.eks.eu-west-1.amazonaws.com/id/A"


def doc(**statement: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}


def identity(*actions: str, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return doc(Action=list(actions), Resource=resource, **more)


def repo(principal: Any = None, **more: Any) -> dict[str, Any]:
    who = principal or {"AWS": "222222222222"}
    return doc(**{"Principal": who, "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], **more})


def irsa(**condition: Any) -> dict[str, Any]:
    return doc(
        Principal={"Federated": f"arn:aws:iam::{ME}:oidc-provider/{OIDC}"},
        Action="sts:AssumeRoleWithWebIdentity",
        Condition=condition,
    )


GOOD_OIDC = {f"{OIDC}:aud": "sts.amazonaws.com", f"{OIDC}:sub": "system:serviceaccount:a:b"}
CASES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("token-resource", "identity", identity("ecr:GetAuthorizationToken", resource=ARN), {}),
    ("token-in-resource-policy", "repository", repo(Action=["ecr:GetAuthorizationToken"]), {}),
    ("resource-in-policy", "repository", repo(Resource="*"), {}),
    ("resource-missing", "registry", repo(), {}),
    ("not-an-arn", "identity", identity("ecr:ListImages", resource=f"{ME}.dkr.ecr.eu-west-1.amazonaws.com/app"), {}),
    ("arn-target", "identity", identity("ecr:ListImages", resource=ARN), {"region": "us-east-1"}),
    ("arn-target", "identity", identity("ecr:ListImages", resource=ARN), {"account": "999999999999"}),
    ("arn-target", "identity", identity("ecr:ListImages", resource=ARN.replace("eu-west-1", "cn-north-1")), {}),
    ("unknown-action", "identity", identity("ecr:ListImageReferrers"), {}),
    ("unknown-action", "identity", identity("ecr-public:BatchGetImage"), {}),
    ("newer-action", "identity", identity("ecr:StartReplicationBackfill"), {}),
    ("foreign-action", "repository", repo(Action=["s3:GetObject"]), {}),
    ("no-resource-level", "identity", identity("ecr:PutRegistryPolicy", resource=ARN), {}),
    ("pull-without-layers", "identity", identity("ecr:GetAuthorizationToken", "ecr:BatchGetImage"), {}),
    ("push-without-check", "identity", identity("ecr:InitiateLayerUpload", "ecr:PutImage"), {}),
    ("principal", "repository", repo({"AWS": f"arn:aws:iam::{ME}:*"}), {}),
    ("principal", "repository", repo({"AWS": f"arn:aws:iam::{ME}:role/*"}), {}),
    ("principal", "repository", repo({"AWS": "arn:aws-us-gov:iam::111122223333:assumed-role/stg/i-0"}), {}),
    ("principal", "repository", repo({"AWS": f"arn:aws:sts::{ME}:assumed-role/stg"}), {}),
    ("principal", "repository", repo({"AWS": "1234567890"}), {}),
    ("principal", "repository", repo({"AWS": "AROAEXAMPLEID1234567"}), {}),
    ("public", "repository", repo("*"), {}),
    ("public", "repository", repo({"AWS": "*"}, Condition={"Bool": {"aws:SecureTransport": "true"}}), {}),
    ("true-when-missing", "repository", repo("*", Condition={"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-a"}}), {}),
    ("public", "repository", repo("*", Condition={"ForAllValues:StringEquals": {"aws:PrincipalOrgID": "o-a"}}), {}),
    ("literal-wildcard", "trust", irsa(StringEquals={**GOOD_OIDC, f"{OIDC}:sub": "system:serviceaccount:a:b-*"}), {}),
    ("oidc-key", "trust", irsa(StringEquals={f"https://{OIDC}:aud": "sts.amazonaws.com", f"{OIDC}:sub": "x"}), {}),
    ("subject-as-audience", "trust", irsa(StringEquals={f"{OIDC}:aud": "system:serviceaccount:a:b"}), {}),
    ("missing-sub", "trust", irsa(StringEquals={f"{OIDC}:aud": "sts.amazonaws.com"}), {}),
    ("missing-aud", "trust", irsa(StringEquals={f"{OIDC}:sub": "system:serviceaccount:a:b"}), {}),
    ("tag-session", "trust", doc(Principal={"Service": "pods.eks.amazonaws.com"}, Action="sts:AssumeRole"), {}),
    ("not-principal-allow", "repository", doc(NotPrincipal={"AWS": ME}, Action="ecr:BatchGetImage"), {}),
    ("negated-allow", "identity", doc(NotAction="ecr:PutImage", Resource="*"), {}),
    ("negated-allow", "identity", doc(Action="ecr:*", NotResource=ARN), {}),
    ("sid-characters", "identity", identity("ecr:ListImages", Sid="new statement"), {}),
    ("size", "repository", repo({"AWS": [f"arn:aws:iam::{ME}:role/role-with-a-long-name-{n}" for n in range(250)]}), {}),
    ("own-account-only", "identity", identity("ecr:BatchGetImage", resource=f"arn:aws:ecr:eu-west-1:{ME}:repository/*"), {"node": True, "account": ME}),
    ("own-account-only", "identity", identity("ecr:BatchGetImage", resource=f"arn:aws:ecr:eu-west-1:{ME}:repository/*"), {"node": True}),
    ("token-resource", "identity", identity("ecr:*", resource=ARN), {}),
    ("any-subject", "trust", irsa(StringEquals={f"{OIDC}:aud": "sts.amazonaws.com"}, StringLike={f"{OIDC}:sub": "system:serviceaccount:*:*"}), {}),
    ("any-subject", "trust", irsa(StringEquals={f"{OIDC}:aud": "sts.amazonaws.com"}, StringLike={f"{OIDC}:sub": "*"}), {}),
    ("sid-twice", "identity", {"Version": "2012-10-17", "Statement": [identity("ecr:ListImages", Sid="A")["Statement"][0]] * 2}, {}),
    ("pull-through-import", "identity", identity("ecr:BatchGetImage"), {"node": True, "pull_through_prefixes": ["hub"]}),
    ("pull-through-create", "identity", identity("ecr:BatchImportUpstreamImage"), {"node": True, "pull_through_prefixes": ["hub"]}),
    ("lock-out", "repository", doc(Effect="Deny", Principal="*", Action="ecr:*"), {}),
    ("invalid", "identity", identity("ecr:ListImages", Condition={"StringIs": {"a": "b"}}), {}),
    ("condition-without-effect", "identity", identity("ecr:GetAuthorizationToken", Condition={"StringEquals": {"ecr:ResourceTag/a": "b"}}), {}),
]  # fmt: skip


@pytest.mark.parametrize(("code", "kind", "policy", "how"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)])
def test_rule(code: str, kind: Any, policy: dict[str, Any], how: dict[str, Any]) -> None:
    found = [f for f in lint(policy, kind=kind, **how) if f.code == code]
    assert found and all(f.path.startswith("$") and f.message and f.fix for f in found)


SILENT = [
    ("identity", identity("ecr:GetAuthorizationToken")),
    ("identity", identity("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", Condition={"StringEquals": {"ecr:ResourceTag/x": "y"}})),
    ("repository", repo("*", Condition={"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": ["o-dummy/*/ou-dummy/*"]}})),
    ("repository", repo({"AWS": "arn:aws:iam::999999999999:root"})),
    ("repository", repo(Sid="AllowPull with spaces")),
    ("trust", irsa(StringEquals=GOOD_OIDC)),
    ("trust", irsa(StringEquals={f"{OIDC}:aud": "sts.amazonaws.com"}, StringLike={f"{OIDC}:sub": "system:serviceaccount:a:*"})),
    ("identity", {"Version": "2012-10-17", "Statement": [*identity("ecr:*", resource=ARN)["Statement"], *identity("ecr:GetAuthorizationToken")["Statement"]]}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "policy"), SILENT, ids=range(len(SILENT)))
def test_no_false_alarm(kind: Any, policy: dict[str, Any]) -> None:
    assert lint(policy, kind=kind) == ()


@pytest.mark.parametrize(
    "junk", ["", "[]", "{", '{"Statement": 3}', "[" * 50_000, '{"Statement": [null, {"Effect": []}]}']
)
def test_any_json(junk: str) -> None:
    assert lint(junk) and all(f.severity == "error" for f in lint(junk))


class TestExposure:
    """Who is let in from outside."""

    def test_kinds(self) -> None:
        def kinds(policy: dict[str, Any]) -> list[str]:
            return [e.audience for e in exposures(PolicyDocument.read(policy, kind="repository"), account=ME)]

        assert kinds(repo("*")) == ["public"]
        assert kinds(repo({"AWS": "arn:aws:iam::999999999999:root"})) == ["account"]
        assert kinds(repo({"AWS": ME})) == []
        assert kinds(SILENT[2][1]) == ["organization"]
        assert kinds(repo("*", Action="ecr:PutImage")) == []

    def test_estate(self) -> None:
        policies = {"a": repo("*"), "b": repo({"AWS": "222222222222"}), "c": SILENT[2][1], "d": None, "e": "{"}
        texts = {
            k: v if v is None or isinstance(v, str) else PolicyDocument.read(v, kind="repository")
            for k, v in policies.items()
        }
        found = readable_from_outside(texts, account=ME, organization="o-dummy", accounts=["222222222222"])
        assert [(e.repository, e.audience) for e in found] == [("a", "public"), ("e", "unknown")]

    def test_services_come_on_behalf_of_somebody(self) -> None:
        """A service has no organisation of its own; aws:SourceArn, SourceAccount and SourceOrgID say whose it is."""

        def ways(account: str, condition: dict[str, Any] | None = None) -> list[tuple[str, str]]:
            limits = {} if condition is None else {"Condition": condition}
            policy = PolicyDocument.read(repo({"Service": "codebuild.amazonaws.com"}, **limits), kind="repository")
            found = readable_from_outside({"a": policy}, account=account, organization="o-mine")
            return [(e.audience, e.who) for e in found]

        project = f"arn:aws:codebuild:eu-west-1:{ME}:project/p"
        assert ways(ME) == [("service", "codebuild.amazonaws.com")]
        assert ways(ME, {"ArnLike": {"aws:SourceArn": project}}) == []
        assert ways("999999999999", {"ArnLike": {"aws:SourceArn": project}}) == [("account", ME)]
        assert ways(ME, {"StringEquals": {"aws:SourceOrgID": "o-mine"}}) == []
        assert ways(ME, {"StringEquals": {"aws:SourceOrgID": "o-other"}}) == [("organization", "o-other")]
        assert ways(ME, {"StringEqualsIfExists": {"aws:SourceAccount": ME}}) == [("service", "codebuild.amazonaws.com")]
        assert ways(ME, {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}) == [("service", "codebuild.amazonaws.com")]
