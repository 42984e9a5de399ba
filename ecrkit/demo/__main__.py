"""`python -m ecrkit.demo`: the tour, or a dry run on your own files."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import sys
from collections.abc import Sequence

from ecrkit._internal.clock import SystemClock
from ecrkit._internal.times import parse_time
from ecrkit.errors import InvalidInput

__all__ = ["main"]

_FAULTS = 20


def _moment(text: str) -> dt.datetime:
    try:
        return parse_time(text)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ecrkit.demo",
        description="Without options: the tour, on an embedded ECR. With --images and --policy: what the policy would "
        "do to your images, as saved by the AWS CLI. Neither needs an account, and neither changes anything.",
    )
    parser.add_argument(
        "--images",
        nargs="+",
        action="extend",
        metavar="FILE",
        help="output of aws ecr describe-images; several files or pages are taken together",
    )
    parser.add_argument(
        "--policy", metavar="FILE", help="the lifecycle policy, or the output of aws ecr get-lifecycle-policy"
    )
    parser.add_argument(
        "--manifests",
        nargs="+",
        action="extend",
        metavar="FILE",
        help="output of aws ecr batch-get-image: says what indexes hold, and makes the bytes exact",
    )
    parser.add_argument(
        "--now",
        type=_moment,
        metavar="TIME",
        help="the moment to judge by, such as 2026-01-31T00:00:00Z; now by default",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tour or the dry run on files; return the exit code: 0, 1 for a failed tour, 2 for a bad file."""
    parser = _parser()
    given = parser.parse_args(arguments)
    own = [name for name in ("images", "policy", "manifests", "now") if getattr(given, name) is not None]
    if own and (given.images is None or given.policy is None):
        parser.error("a dry run on your own data needs both --images and --policy")
    from ecrkit.demo.telling import Teller, plain

    teller = Teller(sys.stdout)
    if not own:
        from ecrkit.demo.tour import TourFailed, run_tour

        try:
            return run_tour(teller)
        except TourFailed as fault:
            teller.say(f"The tour failed: {fault}")
            return 1
    from ecrkit.demo.own_data import run_on_files

    try:
        return run_on_files(
            teller,
            given.images,
            given.policy,
            manifests=given.manifests or (),
            now=given.now or SystemClock().now().replace(microsecond=0),
        )
    except InvalidInput as fault:
        errors = Teller(sys.stderr)
        errors.line(f"error: {plain(fault.what)}")
        for problem in fault.problems[:_FAULTS]:
            errors.line(f"  {plain(str(problem))}")
        if len(fault.problems) > _FAULTS:
            errors.line(f"  and {len(fault.problems) - _FAULTS} more")
        return 2


def _run() -> int:
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough (`| head`); nothing is left to say, also not by the interpreter at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    sys.exit(_run())
