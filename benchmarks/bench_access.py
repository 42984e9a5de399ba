"""Access: is the time of evaluations linear in statements and in requests?

Prints ratios of one run: twice the work should take about twice the time. `--fail-over` makes the growth a failure.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from ecrkit.access.documents import PolicyDocument
from ecrkit.access.evaluate import Policies, Request, evaluate

ACCOUNT = "111111111111"


def policies(statements: int) -> Policies:
    """Return an identity policy whose statements all name the action; only the last one allows the repository."""
    rows = [
        {
            "Effect": "Allow", "Action": ["ecr:BatchGetImage", "ecr:Get*"],
            "Resource": f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/team-{n}/*",
            "Condition": {"StringLike": {"aws:PrincipalOrgID": "o-*"}},
        }
        for n in range(statements)
    ]  # fmt: skip
    return Policies(identity=[PolicyDocument.parse({"Version": "2012-10-17", "Statement": rows})])


def run(statements: int, requests: int) -> None:
    """Evaluate that many requests against that many statements."""
    given = policies(statements)
    for n in range(requests):
        asked = Request.build(
            f"arn:aws:iam::{ACCOUNT}:role/node", "ecr:BatchGetImage",
            f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/team-{n % statements}/app",
            context={"aws:PrincipalOrgID": "o-a"},
        )  # fmt: skip
        assert evaluate(asked, given).allowed


def seconds(work: Callable[[], None]) -> float:
    """Return the shorter time of two rounds."""
    times = []
    for _ in range(2):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def main() -> int:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--statements", type=int, default=500)
    parser.add_argument("--fail-over", type=float, default=None, help="fail when doubling takes more than this factor")
    told = parser.parse_args()
    base = seconds(lambda: run(told.statements, told.requests))
    wide = seconds(lambda: run(told.statements * 2, told.requests)) / base
    more = seconds(lambda: run(told.statements, told.requests * 2)) / base
    print(f"{told.requests} evaluations against {told.statements} statements: {base:.2f} s")
    print(f"twice the statements: {wide:.2f} times; twice the evaluations: {more:.2f} times")
    return 1 if told.fail_over is not None and max(wide, more) > told.fail_over else 0


if __name__ == "__main__":
    raise SystemExit(main())
