"""Repository names, tags and digests: the patterns of the ECR model and of the distribution specification."""

from __future__ import annotations

import re

import botocore.session
import pytest

from ecrkit.errors import InvalidReference
from ecrkit.refs import digest, repository_name, tag
from tests.unit.refs.host_forms import DIGEST

GOOD = [
    "ab", "a1", "11", "0day/1st", "team/app", "a/b/c/d/e", "a.b_c__d-e--f---g", "team-a/my__app", "x" * 256, "sha256/abc",
]  # fmt: skip
BAD = [
    ("", "at least 2"),
    ("a", "at least 2"),
    ("x" * 257, "at most 256 characters, this one has 257"),
    ("Team/app", "no upper-case letters"),
    ("/app", "empty path component"),
    ("app/", "empty path component"),
    ("a//b", "empty path component"),
    ("app_", "component 'app_'"),
    ("_app", "component '_app'"),
    ("team/-app", "component '-app'"),
    ("a..b", "component 'a..b'"),
    ("a___b", "component 'a___b'"),
    ("a._b", "component 'a._b'"),
    ("a-_b", "component 'a-_b'"),
    ("a b", "component 'a b'"),
    ("app\n", r"component 'app\\n'"),
    ("caf\u00e9", "component"),
    ("app:v1", "component"),
    ("\u0661\u0662", "component"),
]


class TestRepositoryName:
    """2 to 256 characters, lower-case components joined by single separators (ECR API, RepositoryName)."""

    @pytest.mark.parametrize("name", GOOD)
    def test_names_that_ecr_takes(self, name: str) -> None:
        assert repository_name(name) == name

    @pytest.mark.parametrize(("name", "why"), BAD)
    def test_names_that_ecr_refuses(self, name: str, why: str) -> None:
        with pytest.raises(InvalidReference, match=why):
            repository_name(name)

    def test_the_service_model_says_the_same(self) -> None:
        shape = botocore.session.get_session().get_service_model("ecr").shape_for("RepositoryName")
        lowest, highest, pattern = (shape.metadata[k] for k in ("min", "max", "pattern"))

        def takes(name: str) -> bool:
            return lowest <= len(name) <= highest and re.fullmatch(pattern, name) is not None

        assert [n for n in GOOD if not takes(n)] == []
        assert [n for n, _ in BAD if takes(n)] == []


class TestTag:
    """A reference takes 128 characters although the API takes 300 (OCI distribution specification)."""

    @pytest.mark.parametrize("text", ["v1", "_", "A", "0", "1.2.3-rc.1_x", "x" * 128, "_.-"])
    def test_tags_that_can_be_pulled(self, text: str) -> None:
        assert tag(text) == text

    @pytest.mark.parametrize("text", ["", ".a", "-a", "x" * 129, "a b", "a/b", "a+b", "a:b", "v1\n", "\u00fc", "a@b"])
    def test_tags_that_cannot(self, text: str) -> None:
        with pytest.raises(InvalidReference, match="a tag is 1 to 128"):
            tag(text)


class TestDigest:
    """`sha256:` and 64 lower-case hexadecimal digits; the message says how many there are."""

    def test_a_digest(self) -> None:
        assert digest(DIGEST) == DIGEST

    @pytest.mark.parametrize(
        "text",
        [
            "",
            DIGEST[7:],
            DIGEST.upper(),
            DIGEST.replace("a", "A"),
            DIGEST[:-1],
            DIGEST + "0",
            DIGEST + "\n",
            "sha512:" + "0" * 128,
            "sha256:" + "g" * 64,
            "sha256-" + "0" * 64,
            "sha256:" + "\u0660" * 64,
        ],
    )
    def test_no_digest(self, text: str) -> None:
        with pytest.raises(InvalidReference, match="a digest is"):
            digest(text)

    def test_a_short_one_is_counted(self) -> None:
        with pytest.raises(InvalidReference, match="this has 12 after the prefix"):
            digest("sha256:0123456789ab")


class TestMessagesStayShort:
    """A long hostile text is shown by its beginning only."""

    @pytest.mark.parametrize("check", [repository_name, tag, digest])
    def test_message_is_bounded(self, check: object) -> None:
        with pytest.raises(InvalidReference) as caught:
            check("!" * 100_000)  # type: ignore[operator]
        assert len(str(caught.value)) < 500
