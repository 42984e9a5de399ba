"""Hostile texts: parsing ends at once, whatever the text. A pattern that backtracks would never come back here."""

from __future__ import annotations

import pytest

from ecrkit.errors import InvalidReference
from ecrkit.refs import ImageRef, RegistryHost, digest, repository_name, tag

SIZE = 1_000_000
ACCOUNT = "123456789012"


@pytest.mark.parametrize(
    "text",
    [
        "a" * SIZE + "!",
        "-" * SIZE,
        "a" + "-" * SIZE + "!",
        "a" + "_" * SIZE,
        "a-" * SIZE + "!",
        "a__" * SIZE,
        "a/" * SIZE,
        "/" * SIZE,
        ":" * SIZE,
        "@" * SIZE,
        "a:" * SIZE,
        "." * SIZE + "/app",
        f"{ACCOUNT}.dkr.ecr." + "aa-" * SIZE + ".amazonaws.com/app",
        f"{ACCOUNT}.dkr.ecr.us-west-2." + "amazonaws.com." * (SIZE // 10),
        "arn:" + ":" * SIZE,
        f"arn:aws:ecr:{'aa-' * SIZE}1:{ACCOUNT}:repository/app",
        f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/" + "a-" * SIZE + "!",
        "\U0001f600" * SIZE,
        "\x00" * SIZE,
    ],
    ids=lambda t: f"{t[:24]!r}...",
)
@pytest.mark.parametrize("parse", [ImageRef.parse, RegistryHost.parse, repository_name, tag, digest])
def test_long_text_is_refused(parse: object, text: str) -> None:
    with pytest.raises(InvalidReference):
        parse(text)  # type: ignore[operator]


@pytest.mark.parametrize("name", ["a-" * 127 + "a!", "a" * 255 + "!", "a" + "-" * 254 + "!", "a/" * 127 + "!"])
def test_the_longest_names_that_are_matched_at_all(name: str) -> None:
    with pytest.raises(InvalidReference):
        repository_name(name)
