"""Compare `ecrkit.access.evaluate` with another engine on fresh random cases. For development only.

The other engine is a command of yours. It reads one JSON object a line from standard input and writes one a line:
`{"id": ..., "outcome": ...}`, with the outcome `Allowed`, `ImplicitlyDenied` or `ExplicitlyDenied`, or `null` where it
cannot tell. A case is in the form of `tests/vectors/access_decisions.json`, without `expected`. For example

    python scripts/compare_access_engines.py --engine "node my-adapter.mjs" --count 2000 --seed 7

Engines have licences of their own: the npm package `iam-simulate` is AGPL-3.0. Install such an engine outside this
repository and write its adapter there. Neither may be copied into this project, imported by it or shipped with it.
The exit status is 0 when all outcomes agree, 1 when some differ, 2 when the command cannot be run.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ecrkit.access.evaluate import Policies, Request, evaluate

OWNER, OTHER, REGION = "111111111111", "222222222222", "us-east-1"
REPOSITORY = f"arn:aws:ecr:{REGION}:{OWNER}:repository/team/app"
ACTIONS = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:PutImage", "ecr:DescribeImages")
PATTERNS = (*ACTIONS, "ecr:*", "ecr:Batch*", "ecr:Get*", "*", "ecr:Put?mage", "ECR:batchgetimage")
RESOURCES = (REPOSITORY, "*", REPOSITORY.replace("team/app", "team/*"), REPOSITORY.replace("team/app", "other"))
CONDITIONS: tuple[tuple[str, str, str], ...] = (
    ("StringEquals", "aws:PrincipalOrgID", "o-good"),
    ("StringNotEquals", "aws:PrincipalOrgID", "o-good"),
    ("StringLike", "aws:PrincipalArn", "arn:aws:iam::*:role/node"),
    ("StringEqualsIfExists", "aws:SourceVpce", "vpce-good"),
    ("ForAllValues:StringEquals", "aws:TagKeys", "team"),
    ("ForAnyValue:StringLike", "aws:PrincipalOrgPaths", "o-good/r-1/*"),
    ("Null", "aws:SourceVpce", "true"),
    ("StringEquals", "ecr:ResourceTag/team", "a"),
)


def _statement(draw: random.Random, *, principal: bool, resource: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"Effect": draw.choices(("Allow", "Deny"), (4, 1))[0]}
    if principal:
        who = draw.choice((OWNER, OTHER, f"arn:aws:iam::{OWNER}:role/node", f"arn:aws:iam::{OTHER}:role/node", "*"))
        found["Principal"] = {"AWS": who}
    actions = sorted(draw.sample(PATTERNS, draw.randint(1, 3)))
    found["Action" if draw.random() < 0.9 else "NotAction"] = actions
    if resource:
        found["Resource" if draw.random() < 0.9 else "NotResource"] = draw.choice(RESOURCES)
    if draw.random() < 0.4:
        operator, key, value = draw.choice(CONDITIONS)
        found["Condition"] = {operator: {key: value}}
    return found


def _document(draw: random.Random, **form: bool) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [_statement(draw, **form) for _ in range(draw.randint(1, 3))]}


def cases(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Yield random cases in the form of the vectors; the same seed gives the same cases."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    for number in range(count):
        account = draw.choice((OWNER, OTHER))
        context: dict[str, Any] = {
            "aws:PrincipalArn": f"arn:aws:iam::{account}:role/node",
            "aws:PrincipalAccount": account,
            "aws:ResourceAccount": OWNER,
            "ecr:ResourceTag/team": draw.choice("ab"),
        }
        organization = draw.choice((None, "o-good", "o-bad"))
        if organization:
            context["aws:PrincipalOrgID"] = organization
            context["aws:PrincipalOrgPaths"] = [f"{organization}/r-1/ou-1/"]
        if draw.random() < 0.5:
            context["aws:SourceVpce"] = draw.choice(("vpce-good", "vpce-bad"))
        others: dict[str, Any] = {}
        if draw.random() < 0.2:
            others["permissions_boundary"] = _document(draw, principal=False, resource=True)
        if draw.random() < 0.2:
            others["session_policy"] = _document(draw, principal=False, resource=True)
        policy = _document(draw, principal=True, resource=False) if draw.random() < 0.7 else None
        yield {
            "id": f"{seed}/{number}",
            "request": {
                "principal": f"arn:aws:sts::{account}:assumed-role/node/i-0abc",
                "action": draw.choice(ACTIONS),
                "resource": REPOSITORY,
                "resource_account": OWNER,
                "context": context,
            },
            "identity_policies": [_document(draw, principal=False, resource=True) for _ in range(draw.randint(0, 2))],
            "resource_policy_kind": None if policy is None else "repository",
            "resource_policy": policy,
            "other_policies": others,
        }


def ours(case: Mapping[str, Any]) -> str:
    """Return the outcome that ecrkit gives."""
    asked, others = case["request"], case["other_policies"]
    policies = Policies(
        identity=case["identity_policies"],
        repository=case["resource_policy"],
        permissions_boundary=others.get("permissions_boundary"),
        session=others.get("session_policy"),
    )
    return evaluate(Request(**asked), policies).outcome


def theirs(engine: str, given: Iterable[Mapping[str, Any]]) -> dict[str, str | None]:
    """Return the outcomes of the other engine, by case.

    Raises:
        RuntimeError: the command is not there, fails, or answers something else.
    """
    words = shlex.split(engine)
    if not words or shutil.which(words[0]) is None:
        raise RuntimeError(f"no such command: {words[0] if words else '(empty)'}; install the engine and its adapter")
    lines = "".join(json.dumps(case) + "\n" for case in given)
    done = subprocess.run(words, input=lines, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{words[0]} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    try:
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
        return {answer["id"]: answer["outcome"] for answer in answers}
    except (ValueError, KeyError, TypeError) as fault:
        raise RuntimeError(f"{words[0]} answered no lines of id and outcome: {fault!r}") from None


def main(arguments: list[str] | None = None) -> int:
    """Compare, print every difference with its case, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", required=True, help="the command of the other engine")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None, help="by default a fresh one, which is printed")
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    given = list(cases(seed, options.count))
    try:
        answers = theirs(options.engine, given)
    except RuntimeError as fault:
        print(f"cannot compare: {fault}", file=sys.stderr)
        return 2
    missing = [case["id"] for case in given if case["id"] not in answers]
    if missing:
        print(f"cannot compare: {len(missing)} cases have no answer, the first is {missing[0]}", file=sys.stderr)
        return 2
    told = [case for case in given if answers[case["id"]] is not None]
    different = [case for case in told if ours(case) != answers[case["id"]]]
    for case in different:
        print(f"ecrkit {ours(case)}, the other {answers[case['id']]}: {json.dumps(case)}")
    print(f"seed {seed}: {len(told)} of {len(given)} cases compared, {len(different)} differ")
    return 1 if different or not told else 0


if __name__ == "__main__":
    sys.exit(main())
