"""`python -m ecrkit.lifecycle`: test a policy on saved images, for a CI job. Calls no service.

Exit codes: 0 every expectation passed, 1 one failed, 2 bad input, 3 one is unknown or found nothing to look at.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ecrkit._internal.times import parse_time
from ecrkit.errors import EcrkitError, InvalidInput
from ecrkit.images.inventory import Inventory
from ecrkit.lifecycle import LifecyclePolicy, expect
from ecrkit.records import RawManifest

__all__ = ["main"]

_MOST_BYTES: Final = 512 * 1024 * 1024


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ecrkit.lifecycle",
        description="Check what a lifecycle policy would do to images that `aws ecr describe-images` wrote.",
        epilog="exit codes: 0 passed, 1 failed, 2 bad input, 3 unknown or nothing to look at",
    )
    parser.add_argument("policy", help="JSON file of the policy")
    parser.add_argument("expectations", help='JSON file: a list such as [{"keeps": "v*", "at_least": 10}]')
    parser.add_argument(
        "--images", nargs="+", required=True,
        help="JSON of describe-images, asked for with --filter imageStatus=ANY; several files are pages of one answer",
    )  # fmt: skip
    parser.add_argument("--manifests", nargs="*", default=[], help="JSON of batch-get-image, for what indexes hold")
    parser.add_argument("--now", help="the instant of the run (ISO 8601 with zone) instead of now")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    return parser.parse_args(argv)


def _text(path: str) -> str:
    try:
        file = Path(path)
        if file.stat().st_size > _MOST_BYTES:
            raise InvalidInput.single("cannot be read", path, f"has more than {_MOST_BYTES} bytes")
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise InvalidInput.single("cannot be read", path, f"{fault!s:.200}") from None


def _load(path: str) -> Any:
    try:
        return json.loads(_text(path))
    except InvalidInput:
        raise
    except (ValueError, RecursionError) as fault:
        raise InvalidInput.single("cannot be read", path, f"{fault!s:.200}") from None


def _items(paths: Sequence[str], member: str) -> list[Any]:
    found: list[Any] = []
    followed = 0
    for path in paths:
        page = _load(path)
        followed += isinstance(page, dict) and bool(page.get("nextToken") or page.get("NextToken"))
        listed = page.get(member) if isinstance(page, dict) else page
        if not isinstance(listed, list):
            raise InvalidInput.single("cannot be used", path, f"must be a list, or an object with a list {member!r}")
        found += listed
    if paths and followed == len(paths):
        message = "has a nextToken: more pages follow, and what they hold is not known; give the last one too"
        raise InvalidInput.single("cannot be used", paths[-1], message)
    return found


def _manifests(paths: Sequence[str]) -> list[RawManifest]:
    found: list[RawManifest] = []
    for number, item in enumerate(_items(paths, "images")):
        try:
            found.append(
                RawManifest(
                    digest=str(item["imageId"]["imageDigest"]), text=str(item["imageManifest"]),
                    media_type=str(item.get("imageManifestMediaType") or ""),
                )
            )  # fmt: skip
        except (AttributeError, KeyError, TypeError):
            message = "must have imageId.imageDigest and imageManifest, as batch-get-image writes them"
            raise InvalidInput.single("cannot be used", f"$.images[{number}]", message) from None
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    asked = _arguments(argv)
    try:
        now = dt.datetime.now(dt.UTC) if asked.now is None else parse_time(asked.now)
        # The text as it stands: ECR counts its length, and a key twice in an object is gone once it is parsed.
        policy = LifecyclePolicy.parse(_text(asked.policy))
        inventory = Inventory.from_api(_items(asked.images, "imageDetails"), manifests=_manifests(asked.manifests))
        wanted = _load(asked.expectations)
        if not isinstance(wanted, list):
            raise InvalidInput.single("cannot be used", asked.expectations, "must be a list of expectations")
        report = expect.check(policy, inventory, wanted, now=now)
    except (EcrkitError, ValueError) as fault:
        print(fault, file=sys.stderr)
        return 2
    print(report.to_json(indent=2) if asked.json else report)
    if report.ok:
        return 0
    return 1 if any(result.verdict == "failed" for result in report.results) else 3


if __name__ == "__main__":
    sys.exit(main())
