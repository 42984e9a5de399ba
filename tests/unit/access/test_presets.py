"""Each preset does its job, and loses it with any one action less."""

# ruff: noqa: RUF005, ISC004 - the needs of a job read as a sum
from __future__ import annotations

import re
from functools import partial

import attrs
import pytest

from ecrkit.access import presets, sharing, trust
from ecrkit.access.documents import PolicyDocument
from ecrkit.access.evaluate import Policies, Request, evaluate
from ecrkit.access.lint import lint
from ecrkit.access.scope import Scope, eks_addon_account
from ecrkit.errors import InvalidInput

ME = "111111111111"
OTHER = "222222222222"
ROLE = f"arn:aws:iam::{ME}:role/me"
HERE = Scope(ME, "eu-west-1", ("team/*",))
CACHE = Scope(ME, "eu-west-1", ("hub/*",))
APP = f"arn:aws:ecr:eu-west-1:{ME}:repository/team/app"
HUB = f"arn:aws:ecr:eu-west-1:{ME}:repository/hub/nginx"
ADDON = "arn:aws:ecr:eu-west-1:602401143452:repository/eks/coredns"
KEY = f"arn:aws:kms:eu-west-1:{ME}:key/1"
TOKEN = [("GetAuthorizationToken", "*")]


def on(arn: str, *names: str) -> list[tuple[str, str]]:
    return [(n, arn) for n in names]


PULL = ("BatchGetImage", "GetDownloadUrlForLayer")
PUSH = ("BatchCheckLayerAvailability", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage")
REGISTRY = (
    "DescribePullThroughCacheRules", "DescribeRegistry", "DescribeRepositoryCreationTemplates", "GetAccountSetting",
    "GetRegistryPolicy", "GetRegistryScanningConfiguration", "GetSigningConfiguration", "ListPullTimeUpdateExclusions",
)  # fmt: skip
# What each job asks of ECR, written down apart from the presets.
JOBS = {
    "pull": (presets.pull(HERE), TOKEN + on(APP, *PULL)),
    "service_account_pull": (presets.service_account_pull(HERE), TOKEN + on(APP, *PULL)),
    "pull_through": (
        presets.pull_through(CACHE), TOKEN + on(HUB, *PULL, "BatchImportUpstreamImage", "CreateRepository"),
    ),
    "pull_through_later": (
        presets.pull_through(CACHE, first_pull=False), TOKEN + on(HUB, *PULL, "BatchImportUpstreamImage"),
    ),
    "push": (presets.push(HERE), TOKEN + on(APP, *PUSH)),
    "push_cache": (presets.push(HERE, cache=True), TOKEN + on(APP, *PUSH, *PULL)),
    "node": (presets.node_role(HERE), TOKEN + on(APP, *PULL) + on(ADDON, *PULL)),
    "node_cache": (
        presets.node_role(HERE, pull_through_cache=CACHE),
        TOKEN + on(APP, *PULL) + on(ADDON, *PULL) + on(HUB, *PULL, "BatchImportUpstreamImage", "CreateRepository"),
    ),
    "fargate": (presets.fargate_execution(HERE), TOKEN + on(APP, *PULL) + on(ADDON, *PULL)),
    "promotion": (
        presets.promotion(CACHE, HERE), TOKEN + on(HUB, *PULL, "DescribeImages")
        + on(APP, *PUSH, "BatchGetImage", "DescribeImages", "DescribeRepositories"),
    ),
    "scan_reader": (presets.scan_reader(HERE), on(APP, "BatchGetImage", "DescribeImageScanFindings", "DescribeImages")),
    "lifecycle": (presets.lifecycle_admin(HERE), on(
        APP, "BatchGetImage", "DeleteLifecyclePolicy", "DescribeImages", "DescribeRepositories", "GetLifecyclePolicy",
        "GetLifecyclePolicyPreview", "PutLifecyclePolicy", "StartLifecyclePolicyPreview",
    )),
    "audit": (presets.audit(HERE), on("*", *REGISTRY) + on(
        APP, "BatchGetRepositoryScanningConfiguration", "DescribeImageReplicationStatus", "DescribeImageScanFindings",
        "DescribeImageSigningStatus", "DescribeImages", "DescribeRepositories", "GetLifecyclePolicy",
        "GetRepositoryPolicy", "ListImages", "ListTagsForResource",
    )),
    "crawler": (presets.crawler(HERE), on("*", *REGISTRY[:6]) + on(HUB, "DescribeRepositories") + on(
        APP, "BatchGetImage", "DescribeImages", "GetLifecyclePolicy", "GetRepositoryPolicy", "ListTagsForResource",
    )),
    "pull_through_admin": (presets.pull_through_admin(HERE), on(
        "*", "CreatePullThroughCacheRule", "DeletePullThroughCacheRule", "DescribePullThroughCacheRules",
        "DescribeRepositoryCreationTemplates", "UpdatePullThroughCacheRule", "ValidatePullThroughCacheRule",
    ) + [("iam:CreateServiceLinkedRole", f"arn:aws:iam::{ME}:role/aws-service-role/"
          "pullthroughcache.ecr.amazonaws.com/AWSServiceRoleForECRPullThroughCache")]),
    "replication_source": (presets.replication_source(HERE), on("*", "DescribeRegistry", "DescribeRepositories", "PutReplicationConfiguration")
        + on(APP, "BatchGetImage", "DescribeImageReplicationStatus", "DescribeImages") + [("iam:CreateServiceLinkedRole",
          f"arn:aws:iam::{ME}:role/aws-service-role/replication.ecr.amazonaws.com/AWSServiceRoleForECRReplication")]),
    "pull_through_role": (presets.pull_through_role(CACHE, HERE), TOKEN
        + on(HUB, *PULL, "BatchImportUpstreamImage", "GetImageCopyStatus")
        + on(APP, "CompleteLayerUpload", "GetImageCopyStatus", "InitiateLayerUpload", "PutImage", "UploadLayerPart")),
    "template_admin": (presets.template_admin(HERE, role="maker"), on(
        "*", "CreateRepositoryCreationTemplate", "DeleteRepositoryCreationTemplate",
        "DescribeRepositoryCreationTemplates", "UpdateRepositoryCreationTemplate",
    ) + [("iam:PassRole", f"arn:aws:iam::{ME}:role/maker")]),
    "template_role": (presets.template_role(HERE), on(APP, "CreateRepository", "TagResource")),
    "template_role_key": (presets.template_role(HERE, key=KEY), on(APP, "CreateRepository", "TagResource")
        + on(KEY, "kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant")),
    "scan_reader_inspector": (presets.scan_reader(HERE, inspector=True), on(APP, "BatchGetImage", "DescribeImageScanFindings",
        "DescribeImages") + on("*", "inspector2:ListCoverage", "inspector2:ListFindings")),
    "public_pull": (presets.public_pull(), [("ecr-public:GetAuthorizationToken", "*"), ("sts:GetServiceBearerToken", "*")]),
    "public_push": (presets.public_push(ME), [("ecr-public:GetAuthorizationToken", "*"), ("sts:GetServiceBearerToken", "*"),
        *[(f"ecr-public:{n}", f"arn:aws:ecr-public::{ME}:repository/app") for n in PUSH]]),
}  # fmt: skip
CONTEXT = {"iam:PassedToService": "ecr.amazonaws.com", "kms:ViaService": "ecr.eu-west-1.amazonaws.com"}


def works(document: PolicyDocument, needs: list[tuple[str, str]]) -> bool:
    def allowed(name: str, arn: str) -> bool:
        name = name if ":" in name else f"ecr:{name}"
        context = dict(CONTEXT)
        if name == "iam:CreateServiceLinkedRole":
            context["iam:AWSServiceName"] = arn.split("/")[2]
        request = Request.build(ROLE, name, arn, context=context)
        # The own side only: another account's policy is not the preset's business.
        request = attrs.evolve(request, resource_account=ME)
        return evaluate(request, Policies(identity=[document])).allowed

    return all(allowed(*need) for need in needs)


@pytest.mark.parametrize("job", JOBS)
class TestLeastPrivilege:
    """Nothing in a preset that its job does not need."""

    def test_does_the_job(self, job: str) -> None:
        assert works(*JOBS[job])

    def test_every_action_is_needed(self, job: str) -> None:
        document, needs = JOBS[job]
        for i, statement in enumerate(document.statements):
            for name in statement.actions or ():
                rest = tuple(a for a in statement.actions or () if a != name)
                changed = [*document.statements]
                changed[i : i + 1] = [attrs.evolve(statement, actions=rest)] if rest else []
                less = attrs.evolve(document, statements=tuple(changed))
                assert not works(less, needs), f"{name} is not needed"

    def test_lint_is_silent_and_it_fits(self, job: str) -> None:
        document, _ = JOBS[job]
        assert lint(document) == () and document.fits("managed")
        assert PolicyDocument.parse(document.to_json()) == document


def test_every_preset_is_a_job() -> None:
    tested = {d.to_json() for d, _ in JOBS.values()}
    assert len(tested) >= len(presets.__all__)


class TestSharing:
    """Across accounts both sides must allow (ECR user guide, repository policies)."""

    def ask(self, pair: sharing.Pair, name: str, *, one_side: bool = False):
        who = f"arn:aws:iam::{OTHER}:role/node"
        request = Request.build(who, f"ecr:{name}", APP)
        repository = None if one_side else pair.repository
        return evaluate(request, Policies(identity=[pair.identity], repository=repository)).outcome

    @pytest.mark.parametrize(
        ("make", "names"),
        [
            (sharing.cross_account_pull, PULL),
            (sharing.cross_account_push, PUSH),
            (partial(sharing.cross_account_promotion, CACHE), (*PUSH, "DescribeImages", "DescribeRepositories")),
        ],
    )
    def test_pair(self, make, names) -> None:
        pair = make(HERE, f"arn:aws:iam::{OTHER}:role/node")
        assert {self.ask(pair, n) for n in names} == {"Allowed"}
        assert {self.ask(pair, n, one_side=True) for n in names} == {"ImplicitlyDenied"}
        expected = ["pull-without-layers"] if isinstance(make, partial) else []
        assert [found.code for found in lint(pair.repository)] == expected
        with pytest.raises(InvalidInput):
            make(HERE, f"arn:aws:sts::{OTHER}:assumed-role/node/i-0")

    def test_organization(self) -> None:
        document = sharing.organization_pull(organization="o-good")
        who = f"arn:aws:iam::{OTHER}:role/node"
        for org, outcome in (("o-good", "Allowed"), ("o-bad", "ImplicitlyDenied")):
            request = Request.build(who, "ecr:BatchGetImage", APP, context={"aws:PrincipalOrgID": org})
            assert evaluate(request, Policies(identity=[presets.pull(HERE)], repository=document)).outcome == outcome
        assert lint(document) == () and lint(sharing.organization_pull(paths=["o-a/r-1/ou-1/*"])) == ()

    def test_service_principals(self) -> None:
        for service, document, arn in (
            (
                "lambda.amazonaws.com",
                sharing.lambda_pull(OTHER, "eu-west-1"),
                f"arn:aws:lambda:eu-west-1:{OTHER}:function:f",
            ),
            (
                "codebuild.amazonaws.com",
                sharing.codebuild_pull(OTHER, "eu-west-1"),
                f"arn:aws:codebuild:eu-west-1:{OTHER}:project/p",
            ),
        ):
            for source, outcome in ((arn, "Allowed"), (arn.replace(OTHER, ME), "ImplicitlyDenied")):
                request = Request.build(
                    service, "ecr:BatchGetImage", APP, context={"aws:SourceArn": source, "aws:SourceAccount": OTHER}
                )
                assert evaluate(request, Policies(repository=document)).outcome == outcome

    def test_replication_and_cache(self) -> None:
        who = f"arn:aws:iam::{OTHER}:role/r"
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}]}
        for document, names in (
            (sharing.replication_destination(HERE, OTHER), ("ReplicateImage", "CreateRepository")),
            (sharing.pull_through_registry(HERE, OTHER), ("BatchImportUpstreamImage", "CreateRepository")),
        ):
            for name in names:
                for scope in ("V1", "V2"):
                    policies = Policies(identity=[everything], registry=document, registry_scope=scope)
                    assert evaluate(Request.build(who, f"ecr:{name}", APP), policies).allowed
            assert lint(document) == ()

    def test_endpoints(self) -> None:
        document = sharing.vpc_endpoint(HERE, Scope(eks_addon_account("eu-west-1"), "eu-west-1"))
        policies = Policies(identity=[presets.node_role(HERE)], vpc_endpoint=document)
        for name, arn in TOKEN + on(APP, *PULL):
            assert evaluate(Request.build(ROLE, f"ecr:{name}", arn), policies).allowed
        assert not evaluate(Request.build(ROLE, "ecr:PutImage", APP), policies).allowed
        assert lint(sharing.s3_gateway("cn-north-1")) == ()
        assert sharing.key_policy(HERE, ROLE).fits("key")

    def test_key_policy_grants_what_creators_and_deleters_need(self) -> None:
        """Two grants are made and retired, and the key is looked at (ECR user guide, encryption at rest)."""
        admin, creators = sharing.key_policy(HERE, ROLE).statements
        assert set(creators.actions or ()) == {"kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant"}
        assert [(c.key, c.values) for c in creators.conditions] == [
            ("kms:ViaService", ("ecr.eu-west-1.amazonaws.com",))
        ]
        assert admin.actions == ("kms:*",) and len(sharing.key_policy(HERE).statements) == 1

    @pytest.mark.parametrize(("region", "partition"), [
        ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"), ("eu-isoe-west-1", "aws-iso-e"), ("us-isof-south-1", "aws-iso-f"),
        ("eusc-de-east-1", "aws-eusc"), ("eu-west-1", "aws"),
    ])  # fmt: skip
    def test_partitions(self, region: str, partition: str) -> None:
        """Every document names the partition of its region and no other, and lint has nothing to say about it."""
        scope, role, oidc = Scope(ME, region), f"arn:{partition}:iam::{OTHER}:role/r", f"oidc.eks.{region}.example/id/A"
        pods = {"namespace": "a", "service_account": "b", "partition": partition}
        pairs = [sharing.cross_account_pull(scope, role), sharing.cross_account_push(scope, role)]
        promotion = sharing.cross_account_promotion(scope, scope, role)
        pairs.append(promotion)
        documents = [
            presets.pull(scope), presets.pull_through(scope), presets.push(scope, cache=True), presets.audit(scope),
            presets.node_role(scope, pull_through_cache=scope, addon_account="602401143452"), presets.crawler(scope),
            presets.fargate_execution(scope, addon_account="602401143452"), presets.service_account_pull(scope),
            presets.scan_reader(scope, inspector=True), presets.lifecycle_admin(scope), presets.replication_source(scope),
            presets.promotion(scope, scope), presets.pull_through_admin(scope), presets.pull_through_role(scope, scope),
            presets.template_admin(scope, role="maker"),
            presets.template_role(scope, key=f"arn:{partition}:kms:{region}:{ME}:key/1"),
            *(d for p in pairs for d in (p.identity, p.repository)),
            sharing.s3_gateway(region), sharing.lambda_pull(OTHER, region), sharing.codebuild_pull(OTHER, region),
            sharing.replication_destination(scope, OTHER), sharing.pull_through_registry(scope, OTHER),
            sharing.key_policy(scope, role), sharing.vpc_endpoint(scope, push=True, first_pull=True),
            trust.fargate_execution(ME, region, "c"), trust.irsa(ME, oidc, **pods),
            trust.credential_provider(ME, oidc, **pods),
        ]  # fmt: skip
        for document in documents:
            named = set(re.findall(r"arn:([a-z-]+):", document.to_json()))
            assert named == {partition}
            # Who promotes reads manifests in the target and pulls nothing there.
            expected = ["pull-without-layers"] if document is promotion.repository else []
            assert [found.code for found in lint(document, region=region)] == expected

    @pytest.mark.parametrize(("partition", "name"), [
        ("aws", "ec2.amazonaws.com"), ("aws-cn", "ec2.amazonaws.com.cn"), ("aws-iso", "ec2.c2s.ic.gov"),
        ("aws-iso-b", "ec2.sc2s.sgov.gov"), ("aws-iso-e", "ec2.amazonaws.com"), ("aws-us-gov", "ec2.amazonaws.com"),
    ])  # fmt: skip
    def test_node_trust_names_ec2_as_the_partition_does(self, partition: str, name: str) -> None:
        """EC2's service principal carries the domain in China and in two isolated partitions (eksctl's table)."""
        (principal,) = trust.ec2_node(partition).statements[0].principals or ()
        assert (principal.kind, principal.value) == ("Service", name)

    def test_lambda_of_the_own_account_needs_no_caller(self) -> None:
        """Only a function of another account is created by a caller whom the repository must let in."""
        (statement,) = sharing.lambda_pull(ME, "eu-west-1", caller=False).statements
        assert statement.sid == "Lambda"

    def test_unknown_addon_registry_is_an_error(self) -> None:
        with pytest.raises(InvalidInput, match="look it up"):
            presets.node_role(Scope(ME, "mx-central-1"))


def _less(document: PolicyDocument):
    """Yield the document with one action less, for each of its actions."""
    for i, statement in enumerate(document.statements):
        for name in statement.actions or ():
            rest = tuple(a for a in statement.actions or () if a != name)
            changed = [*document.statements]
            changed[i : i + 1] = [attrs.evolve(statement, actions=rest)] if rest else []
            yield name, attrs.evolve(document, statements=tuple(changed))


GUEST = f"arn:aws:iam::{OTHER}:role/node"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
FUNCTION = {"aws:SourceArn": f"arn:aws:lambda:eu-west-1:{OTHER}:function:f"}
PROJECT = {"aws:SourceArn": f"arn:aws:codebuild:eu-west-1:{OTHER}:project/p", "aws:SourceAccount": OTHER}
IMPORT = ("BatchImportUpstreamImage", "CreateRepository")
LAYER = "arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/a"
# Where the document stands, the document, and who asks what with which context.
SHARED = {
    "cross_account_pull": ("repository", sharing.cross_account_pull(HERE, GUEST).repository, [
        (GUEST, f"ecr:{n}", APP, {}) for n in PULL]),
    "cross_account_push": ("repository", sharing.cross_account_push(HERE, GUEST).repository, [
        (GUEST, f"ecr:{n}", APP, {}) for n in PUSH]),
    "cross_account_promotion": ("repository", sharing.cross_account_promotion(CACHE, HERE, GUEST).repository, [
        (GUEST, f"ecr:{n}", APP, {}) for n in (*PUSH, "BatchGetImage", "DescribeImages", "DescribeRepositories")]),
    "organization": ("repository", sharing.organization_pull(organization="o-a"), [
        (GUEST, f"ecr:{n}", APP, {"aws:PrincipalOrgID": "o-a"}) for n in PULL]),
    "lambda": ("repository", sharing.lambda_pull(OTHER, "eu-west-1"), [
        *[("lambda.amazonaws.com", f"ecr:{n}", APP, FUNCTION) for n in PULL],
        *[(GUEST, f"ecr:{n}", APP, {}) for n in PULL]]),
    "codebuild": ("repository", sharing.codebuild_pull(OTHER, "eu-west-1"), [
        ("codebuild.amazonaws.com", f"ecr:{n}", APP, PROJECT) for n in PULL]),
    "replication": ("registry", sharing.replication_destination(HERE, OTHER), [
        (GUEST, f"ecr:{n}", APP, {}) for n in ("ReplicateImage", "CreateRepository")]),
    "pull_through": ("registry", sharing.pull_through_registry(HERE, OTHER), [
        (GUEST, f"ecr:{n}", APP, {}) for n in IMPORT]),
    "endpoint": ("vpc_endpoint", sharing.vpc_endpoint(HERE, push=True, first_pull=True), [
        (ROLE, "ecr:GetAuthorizationToken", "*", {}), *[(ROLE, f"ecr:{n}", APP, {}) for n in (*PULL, *PUSH, *IMPORT)]]),
    "s3": ("vpc_endpoint", sharing.s3_gateway("eu-west-1"), [(ROLE, "s3:GetObject", LAYER, {})]),
}  # fmt: skip


@pytest.mark.parametrize("job", SHARED)
class TestLeastSharing:
    """A resource policy, too, does its job and loses it with any one action less."""

    def works(self, place: str, document: PolicyDocument, needs) -> bool:
        def allowed(who: str, name: str, arn: str, context) -> bool:
            identity = [EVERYTHING] if who.startswith("arn:") else []
            request = attrs.evolve(Request.build(who, name, arn, context=context), resource_account=ME)
            return evaluate(request, Policies(identity=identity, **{place: document})).allowed

        return all(allowed(*need) for need in needs)

    def test_job_and_removal(self, job: str) -> None:
        place, document, needs = SHARED[job]
        assert self.works(place, document, needs)
        for name, less in _less(document):
            assert not self.works(place, less, needs), f"{name} is not needed"


class TestTrust:
    """IRSA, Pod Identity, KEP-4412 and Fargate (EKS user guide)."""

    ISSUER = "oidc.eks.eu-west-1.amazonaws.com/id/ABC"

    @pytest.mark.parametrize(("pattern", "name", "allowed"), [
        ("app", "app", True), ("app", "other", False), ("provider-*", "provider-aws-1", True),
    ])  # fmt: skip
    def test_irsa(self, pattern: str, name: str, allowed: bool) -> None:
        document = trust.irsa(ME, "https://" + self.ISSUER, namespace="prod", service_account=pattern)
        request = Request(
            principal=f"arn:aws:iam::{ME}:oidc-provider/{self.ISSUER}", action="sts:AssumeRoleWithWebIdentity",
            resource=ROLE, resource_account=ME,
            context={f"{self.ISSUER}:sub": f"system:serviceaccount:prod:{name}", f"{self.ISSUER}:aud": "sts.amazonaws.com"},
        )  # fmt: skip
        assert evaluate(request, Policies(trust=document)).allowed is allowed
        assert lint(document) == () and document.fits("trust")

    def test_pod_identity(self) -> None:
        document = trust.pod_identity(namespace="prod")
        assert set(document.statements[0].actions or ()) == {"sts:AssumeRole", "sts:TagSession"}
        assert lint(document) == ()
        with pytest.raises(InvalidInput):
            trust.pod_identity(session_tags=False, namespace="prod")

    def test_refusals_name_every_fault(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            trust.irsa("1", "arn:aws:x", namespace="A", service_account="b", audience="system:serviceaccount:a:b")
        assert {p.path for p in caught.value.problems} == {"$.account", "$.issuer", "$.namespace", "$.audience"}
