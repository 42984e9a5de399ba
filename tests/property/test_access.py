"""Laws of the evaluator and of documents."""

from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.access.documents import PolicyDocument, merge
from ecrkit.access.evaluate import Policies, Request, evaluate

RANK = {"ExplicitlyDenied": 0, "ImplicitlyDenied": 0, "Unknown": 1, "Allowed": 2}
ARN = "arn:aws:ecr:eu-west-1:111111111111:repository/"
ACTIONS = [
    "ecr:BatchGetImage",
    "ecr:Get*",
    "ecr:*",
    "ecr:PutImage",
    "*",
    "ecr:GetDownloadUrlForLayer",
    "ecr:Batch?etImage",
]
RESOURCES = ["*", ARN + "*", ARN + "app", ARN + "a?p", ARN + "other", ARN + "${aws:PrincipalTag/team}"]
some = lambda values: st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)  # noqa: E731
conditions = st.fixed_dictionaries({}, optional={
    "StringEquals": st.fixed_dictionaries({"aws:PrincipalOrgID": some(["o-a", "o-b"])}),
    "StringNotEqualsIfExists": st.fixed_dictionaries({"aws:SourceVpce": some(["vpce-1"])}),
    "ForAllValues:StringLike": st.fixed_dictionaries({"aws:PrincipalOrgPaths": some(["o-a/*"])}),
    "Null": st.fixed_dictionaries({"aws:SourceVpce": st.sampled_from(["true", "false"])}),
    "Unheard": st.just({"aws:x": "y"}),
})  # fmt: skip


@st.composite
def statements(draw, principal: bool = False):
    made = {"Effect": draw(st.sampled_from(["Allow", "Deny"]))}
    made[draw(st.sampled_from(["Action", "Action", "NotAction"]))] = draw(some(ACTIONS))
    if principal:
        made["Principal"] = draw(st.sampled_from(
            ["*", {"AWS": "111111111111"}, {"AWS": ["arn:aws:iam::222222222222:role/n"]}, {"Service": "x.amazonaws.com"}]
        ))  # fmt: skip
    else:
        made[draw(st.sampled_from(["Resource", "Resource", "NotResource"]))] = draw(some(RESOURCES))
    if limits := draw(conditions):
        made["Condition"] = limits
    return made


def document(listed, kind="identity"):
    return PolicyDocument.read({"Version": "2012-10-17", "Statement": listed}, kind=kind)


identities = st.lists(statements(), min_size=1, max_size=4)
resources = st.lists(statements(principal=True), min_size=1, max_size=3)
requests = st.builds(
    Request,
    principal=st.sampled_from(["arn:aws:iam::111111111111:role/n", "arn:aws:iam::222222222222:role/n"]),
    action=st.sampled_from(["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:PutImage"]),
    resource=st.just(ARN + "app"),
    resource_account=st.just("111111111111"),
    context=st.fixed_dictionaries({}, optional={
        "aws:PrincipalOrgID": st.sampled_from(["o-a", "o-b"]), "aws:SourceVpce": st.just("vpce-1"),
        "aws:PrincipalTag/team": st.sampled_from(["app", "*"]), "aws:PrincipalOrgPaths": st.just(["o-a/r/"]),
    }),
    unknown=st.sampled_from([(), ("*",), ("aws:sourcevpce",)]),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(requests, identities, resources, statements(), st.booleans())
def test_deny_never_allows_and_allow_never_denies(request, identity, resource, extra, bare) -> None:
    before = evaluate(request, Policies(identity=[document(identity)], repository=document(resource, "repository")))
    for effect in ("Deny", "Allow"):
        added = {**extra, "Effect": effect}
        if bare:
            added.pop("Condition", None)
        more = Policies(identity=[document([*identity, added])], repository=document(resource, "repository"))
        after = evaluate(request, more)
        if effect == "Deny":
            assert RANK[after.outcome] <= RANK[before.outcome]
        elif "Unheard" not in added.get("Condition", {}):
            assert RANK[after.outcome] >= RANK[before.outcome]
        else:  # nobody knows what the statement does: it can cost certainty, and never allow
            assert after.outcome != "Allowed" or before.outcome == "Allowed"


@settings(max_examples=150, deadline=None)
@given(requests, identities, resources, st.randoms(use_true_random=False))
def test_order_never_matters(request, identity, resource, random) -> None:
    first = evaluate(request, Policies(identity=[document(identity)], repository=document(resource, "repository")))
    random.shuffle(identity)
    random.shuffle(resource)
    second = evaluate(request, Policies(identity=[document(identity)], repository=document(resource, "repository")))
    assert first.outcome == second.outcome and set(first.blocked_by) == set(second.blocked_by)


@settings(max_examples=60, deadline=None)
@given(identities)
def test_round_trip(listed) -> None:
    made = document(
        [s for s in listed if "Unheard" not in s.get("Condition", {})]
        or [{"Effect": "Deny", "Action": "*", "Resource": "*"}]
    )
    again = PolicyDocument.parse(made.to_json())
    assert again == made and hash(again) == hash(made) and PolicyDocument.parse(made.canonical()) == made
    assert merge(made, again) == made
    backwards = attrs.evolve(made, statements=made.statements[::-1])
    assert backwards == made and backwards.canonical() == made.canonical()


@settings(max_examples=80, deadline=None)
@given(requests, st.lists(statements(), min_size=1, max_size=8), st.integers(600, 1200))
def test_split_keeps_the_meaning(request, listed, limit) -> None:
    whole = document(
        [s for s in listed if "Unheard" not in s.get("Condition", {})]
        or [{"Effect": "Deny", "Action": "*", "Resource": "*"}]
    )
    parts = whole.split(limit)
    assert all(p.size <= limit for p in parts)
    assert evaluate(request, Policies(identity=parts)).outcome == evaluate(request, Policies(identity=[whole])).outcome
