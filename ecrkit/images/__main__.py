"""`python -m ecrkit.images`: check tags against conventions, for a CI job. Calls no service.

Exit codes: 0 every tag follows a convention, 1 one does not, 2 bad input.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from ecrkit.errors import InvalidInput
from ecrkit.images.conventions import STANDARD_CONVENTIONS, TagConventions

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Check the tags that are given, or those on standard input, one a line; return the exit code.

    Example:
        >>> main(["prod-1.4", "--convention", "prod-{version}"])
        'prod-1.4' follows no convention; did you mean prod-1.4.0?
        1
    """
    parser = argparse.ArgumentParser(
        prog="python -m ecrkit.images",
        description="Check that tags follow a convention.",
        epilog="exit codes: 0 every tag does, 1 one does not, 2 bad input",
    )
    parser.add_argument("tags", nargs="*", help="tags; without any, those on standard input, one a line")
    parser.add_argument(
        "--convention", action="append", help="a template such as prod-{version}; by default five usual"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    given = parser.parse_args(argv)
    try:
        conventions = TagConventions.of(*given.convention) if given.convention else STANDARD_CONVENTIONS
    except InvalidInput as fault:
        print(fault, file=sys.stderr)
        return 2
    tags = given.tags or [line.strip() for line in sys.stdin if line.strip()]
    if not tags:
        print("no tags", file=sys.stderr)
        return 2
    checks = [conventions.check(tag) for tag in tags]
    if given.json:
        print(json.dumps([{**check.to_dict(), "ok": check.ok} for check in checks]))
    else:
        print("\n".join(check.explain() for check in checks))
    return 0 if all(check.ok for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
