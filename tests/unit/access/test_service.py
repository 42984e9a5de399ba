"""Plan and apply, explain, documents, and what stays unknown."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ecrkit.access import presets, sharing
from ecrkit.access.documents import PolicyDocument
from ecrkit.access.evaluate import Policies, Request, access_denied_message, evaluate
from ecrkit.access.explain import explain_pull, explain_push
from ecrkit.access.export import aws_cli, cloudformation, terraform
from ecrkit.access.scope import Scope
from ecrkit.access.service import AccessService
from ecrkit.errors import InvalidInput, InvalidPolicy, PlanOutdated, PlanRefused, Rejected

ME = "111111111111"
ROLE = f"arn:aws:iam::{ME}:role/node"
IMAGE = f"{ME}.dkr.ecr.eu-west-1.amazonaws.com/team/app:v1"
HERE = Scope(ME, "eu-west-1")
SHARE = sharing.organization_pull(organization="o-a")


class Clock:
    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> dt.datetime:
        return dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def monotonic(self) -> float:
        return sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Store:
    def __init__(self, text: str | None = None, faults: list[str] | None = None) -> None:
        self.text, self.faults, self.forced = text, faults or [], False

    def repository_policy(self, repository: str) -> str | None:
        return self.text

    def registry_policy(self) -> str | None:
        return self.text

    def set_repository_policy(self, repository: str, text: str, *, force: bool = False) -> None:
        self.forced = self.forced or force
        self.put_registry_policy(text)

    def put_registry_policy(self, text: str) -> None:
        if self.faults:
            raise Rejected(self.faults.pop(0), operation="SetRepositoryPolicy", code="InvalidParameterException")
        self.text = text


def service(store: Store, **more: Any) -> AccessService:
    return AccessService(store, Clock(), ME, "eu-west-1", **more)


class TestApply:
    """Read, decide, show, then change."""

    def test_put_and_no_op(self) -> None:
        store = Store()
        plan = service(store).plan_repository("app", SHARE)
        assert plan.diff().startswith("+ ") and not plan.no_op
        assert service(store).apply(plan).action == "put" and not store.forced
        turned = SHARE.to_json(indent=2).replace('"Sid": "OrganizationPull"', '"Sid": "other"')
        again = service(store).plan_repository("app", turned)
        assert again.no_op and again.diff() == "" and service(store).apply(again).action == "unchanged"

    def test_fresh_principal_is_retried(self) -> None:
        store = Store(faults=["Principal not found", "Invalid repository policy provided"])
        made = service(store)
        assert made.apply(made.plan_repository("app", SHARE)).attempts == 3
        assert made.clock.slept == [2.0, 4.0]  # type: ignore[attr-defined]
        for faults, tries in ((["something else"], 0), (["Principal not found"] * 9, 5)):
            made = service(Store(faults=faults))
            with pytest.raises(Rejected):
                made.apply(made.plan_repository("app", SHARE))
            assert len(made.clock.slept) == tries  # type: ignore[attr-defined]

    def test_outdated(self) -> None:
        store = Store()
        plan = service(store).plan_repository("app", SHARE)
        store.text = sharing.organization_pull(organization="o-b").to_json()
        with pytest.raises(PlanOutdated):
            service(store).apply(plan)

    @pytest.mark.parametrize(
        "deny", [{"Principal": "*", "Action": "ecr:*"}, {"Principal": {"AWS": ME}, "NotAction": "ecr:BatchGetImage"}]
    )
    def test_lock_out(self, deny: dict[str, Any]) -> None:
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", **deny}]}
        with pytest.raises(PlanRefused, match="lock"):
            service(Store(), caller=ROLE).plan_repository("app", policy)
        with pytest.raises(PlanRefused):
            service(Store()).plan_registry(
                {
                    "Version": "2012-10-17",
                    "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}],
                }
            )

    def test_too_long_or_wrong(self) -> None:
        with pytest.raises(InvalidPolicy):
            service(Store()).plan_repository(
                "app",
                {
                    "Version": "2012-10-17",
                    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "ecr:*", "Resource": "*"}],
                },
            )


class TestExplain:
    """Each needed action with what decides, or what is missing and where."""

    def test_pull(self) -> None:
        assert explain_pull(ROLE, IMAGE, Policies(identity=[presets.pull(HERE)])).allowed
        none = explain_pull(ROLE, IMAGE, Policies())
        assert none.outcome == "ImplicitlyDenied" and "an identity policy" in none.explain()
        cache = explain_pull(ROLE, IMAGE, Policies(identity=[presets.pull(HERE)]), first_pull=True)
        assert [s.action for s in cache.steps if not s.decision.allowed] == [
            "ecr:CreateRepository",
            "ecr:BatchImportUpstreamImage",
        ]

    def test_cross_account_needs_both_sides(self) -> None:
        who = "arn:aws:iam::222222222222:role/node"
        pair = sharing.cross_account_pull(HERE, who)
        assert explain_pull(who, IMAGE, Policies(identity=[pair.identity], repository=pair.repository)).allowed
        half = explain_pull(who, IMAGE, Policies(identity=[pair.identity]))
        assert not half.allowed and "repository policy" in half.explain()

    def test_unknown(self) -> None:
        unread = explain_pull(ROLE, IMAGE, Policies(identity=[presets.pull(HERE)], unreadable={"vpc_endpoint"}))
        assert unread.outcome == "Unknown" and not unread.allowed
        public = explain_pull(ROLE, "public.ecr.aws/nginx/nginx:1", Policies())
        assert not public.allowed and "anonymously" in public.notes[0]
        assert explain_push(ROLE, IMAGE, Policies(identity=[presets.push(HERE)])).allowed


class TestUnknownConstructs:
    """What cannot be read never allows."""

    @pytest.mark.parametrize("change", [
        {"Condition": {"StringIs": {"a": "b"}}}, {"Effect": "allow"}, {"Extra": 1}, {"Action": 5}, {"Resource": []},
        {"Condition": {"NumericLessThan": {"aws:x": "many"}}}, {"Condition": []},
    ])  # fmt: skip
    def test_never_allows(self, change: dict[str, Any]) -> None:
        statement = {"Effect": "Allow", "Action": "ecr:*", "Resource": "*", **change}
        request = Request.build(ROLE, "ecr:ListImages", HERE.arns[0], context={"aws:x": "1"})
        decision = evaluate(request, Policies(identity=[{"Version": "2012-10-17", "Statement": [statement]}]))
        assert decision.outcome == "Unknown" and decision.uncertain and not decision.allowed

    @pytest.mark.parametrize(("operator", "value", "have", "outcome"), [
        ("IpAddress", "10.0.0.0/8", "10.1.2.3", True), ("NotIpAddress", "10.0.0.0/8", "10.1.2.3", False),
        ("NumericLessThanEquals", "5", "5", True), ("DateGreaterThan", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", True),
        ("Bool", "true", True, True), ("BinaryEquals", "YQ==", "YQ==", True), ("Null", "true", "x", False),
        ("StringEqualsIgnoreCase", "A", "a", True), ("ArnLike", "arn:aws:iam::*:role/n*", ROLE, True),
        ("ArnLike", "arn:aws:iam:*:role/n*", ROLE, False), ("StringNotLike", "a*", "b", True),
        ("ForAllValues:StringEquals", "a", ["a", "b"], False), ("ForAnyValue:StringEquals", "a", ["a", "b"], True),
        ("DateLessThanIfExists", "2026-01-01", None, True), ("StringEquals", "a", None, False),
    ])  # fmt: skip
    def test_operators(self, operator: str, value: str, have: Any, outcome: bool) -> None:
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {operator: {"aws:x": value}}}
            ],
        }
        request = Request(principal=ROLE, action="ecr:ListImages", context={} if have is None else {"aws:x": have})
        assert evaluate(request, Policies(identity=[policy])).allowed is outcome

    def test_variables_are_literal(self) -> None:
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "*", "Resource": HERE.arns[0][:-1] + "${aws:PrincipalTag/team}"}
            ],
        }
        for team, allowed in (("app", True), ("*", False)):
            request = Request.build(
                ROLE, "ecr:ListImages", HERE.arns[0][:-1] + "app", context={"aws:PrincipalTag/team": team}
            )
            assert evaluate(request, Policies(identity=[policy])).allowed is allowed


def test_denial_texts() -> None:
    deny = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    text = access_denied_message(
        evaluate(Request.build(ROLE, "ecr:ListImages", HERE.arns[0]), Policies(service_control=[deny]))
    )
    assert (
        text
        == f"User: {ROLE} is not authorized to perform: ecr:ListImages on resource: {HERE.arns[0]} with an explicit deny in a service control policy"
    )


def test_exports() -> None:
    document = PolicyDocument.parse(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "ecr:*", "Resource": "a:${aws:username}:'"}],
        }
    )
    body = terraform(document, name="x")["resource"]["aws_iam_policy"]["x"]
    assert "$${aws:username}" in body["policy"]
    assert aws_cli(SHARE, name="", repository="app", registry=ME).startswith(
        "aws ecr set-repository-policy --registry-id"
    )
    assert cloudformation(document, name="my-policy")["Resources"]["MyPolicy"]["Type"] == "AWS::IAM::ManagedPolicy"
    repository = cloudformation(SHARE, name="app", repository="team/app")["Resources"]["App"]
    assert repository["Type"] == "AWS::ECR::Repository" and repository["Properties"] == {
        "RepositoryName": "team/app",
        "RepositoryPolicyText": SHARE.to_dict(),
    }
    with pytest.raises(InvalidInput, match="name the repository"):
        cloudformation(SHARE, name="app")
