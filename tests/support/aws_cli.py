"""The real AWS CLI behind the face of a boto3 client: each method is one `aws ecr ... --output json` process."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from tests.support.tools import require_tool

__all__ = ["AwsCli", "find_cli"]

_ERROR = re.compile(
    r"An error occurred \((?P<code>[^)]+)\) when calling the (?P<operation>\w+) operation: (?P<message>.*)", re.DOTALL
)
_TIMES = re.compile(r"(At|Time|expiresAt)$")


def find_cli() -> str:
    """Return the CLI beside this interpreter, or on the path, or skip."""
    beside = Path(sys.executable).parent / "aws"
    return str(beside) if beside.exists() else require_tool("aws")


def _times(value: Any, name: str = "") -> Any:
    # `--output json` shows times as ISO text or epoch numbers, as the CLI's version and its output stage go.
    if isinstance(value, dict):
        return {key: _times(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_times(item, name) for item in value]
    if isinstance(value, str) and _TIMES.search(name):
        return dt.datetime.fromisoformat(value).timestamp()
    return value


class AwsCli:
    """Calls like a client, answers like a client, raises ClientError like a client; runs the CLI each time.

    Args:
        url: the endpoint.
        folder: where layer parts are laid down for the CLI to read.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._program = find_cli()
        self._folder = folder
        self._environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(folder),
            "AWS_ENDPOINT_URL_ECR": url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "embedded",
            "AWS_SECRET_ACCESS_KEY": "embedded",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            "AWS_MAX_ATTEMPTS": "1",
        }

    def run(self, *words: str) -> str:
        """Return what the CLI prints; raise ClientError for a refusal."""
        done = subprocess.run(
            [self._program, *words], env=self._environment, capture_output=True, text=True, check=False, timeout=120
        )
        if done.returncode:
            found = _ERROR.search(done.stderr.strip())
            if found is None:
                raise AssertionError(f"aws {' '.join(words)[:200]}: {done.stderr.strip()}")
            raise ClientError({"Error": {"Code": found["code"], "Message": found["message"]}}, found["operation"])
        return done.stdout

    def __getattr__(self, method: str) -> Callable[..., dict[str, Any]]:
        def call(**params: Any) -> dict[str, Any]:
            words = ["ecr", method.replace("_", "-"), "--output", "json", "--no-paginate"]
            part = params.pop("layerPartBlob", None)
            if part is not None:
                path = self._folder / "part"
                path.write_bytes(part)
                words += ["--layer-part-blob", f"fileb://{path}"]
            if params:
                request = self._folder / "request.json"
                request.write_text(json.dumps(params))
                words += ["--cli-input-json", f"file://{request}"]
            printed = self.run(*words)
            answered: dict[str, Any] = _times(json.loads(printed)) if printed.strip() else {}
            return answered

        return call
