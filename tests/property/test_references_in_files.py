"""Whatever a file holds, rewriting changes the bytes of the names and nothing else; else it refuses."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ecrkit.deployments.files import places_in, rewrite_text
from ecrkit.deployments.files.places import Place
from ecrkit.errors import InvalidInput
from ecrkit.images._tag_grammar import glob_node, regex_of, witness
from ecrkit.images.conventions import STANDARD_CONVENTIONS, branch_slug
from ecrkit.images.reference_text import AnyReference
from ecrkit.pull_through import PullThroughCache, PullThroughRule

MARK = "old.example/app:1"
NEW = "new.example/other/app@sha256:" + "d" * 64
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff\u2028\u2029\x85"), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
STYLES = st.sampled_from(
    [MARK, f"'{MARK}'", f'"{MARK}"', f"&a {MARK}", f"!!str {MARK}", f">-\n        {MARK}", f"|\n        {MARK}"]
)
NOISE = st.sampled_from(["", "  # c", "  # \u00e9\U0001f600", " "])
ENDS = st.sampled_from(["\n", "\r\n"])


def change(place: Place) -> str | None:
    return NEW if place.reference == MARK else None


def load(text: str) -> list[Any]:
    return list(YAML(typ="safe", pure=True).load_all(text))


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(VALUES, max_size=3),
    styles=st.lists(STYLES, min_size=1, max_size=3),
    noise=NOISE,
    end=ENDS,
    bom=st.booleans(),
)
def test_yaml(values: list[Any], styles: list[str], noise: str, end: str, bom: bool) -> None:
    """The text between the names is the same, and it reads as the same document with the names changed."""
    lines = ["apiVersion: v1", "kind: Pod", f"data: {json.dumps(values, ensure_ascii=False)}", "spec:", "  containers:"]
    for number, style in enumerate(styles):
        block = style[0] in ">|"
        body = style.replace("\n", f"{noise if not block else ''}\n") if block else style + noise
        lines += [f"    - name: c{number}", f"      image: {body}".replace("&a", f"&a{number}")]
    text = ("\ufeff" if bom else "") + end.join(("\n".join(lines)).split("\n")) + end
    made = rewrite_text("x.yaml", text, change)
    assert len(made.changes) == len(styles)
    assert made.after == text.replace(MARK, NEW)
    assert load(made.after.removeprefix("\ufeff")) == load(text.removeprefix("\ufeff").replace(MARK, NEW))


@settings(max_examples=100, deadline=None)
@given(value=VALUES, indent=st.sampled_from([None, 2, "\t"]), ascii_only=st.booleans())
def test_json(value: Any, indent: Any, ascii_only: bool) -> None:
    """JSON keeps its layout and escapes."""
    document = {"x": value, "apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": MARK, "y": value}]}}
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    assert rewrite_text("x.json", text, change).after == text.replace(MARK, NEW)


@settings(max_examples=300, deadline=None)
@given(
    text=st.text(st.sampled_from("a:-{}[]&*!|>'\"%@# \n\r\tFROM$,<=/\\"), max_size=60),
    name=st.sampled_from(["x.yaml", "values.yaml", "kustomization.yaml", "Dockerfile", "x.json"]),
)
def test_hostile_texts_end_in_an_answer(text: str, name: str) -> None:
    """Anything is read or refused as an input; when nothing is asked to change, nothing does."""
    try:
        places = places_in(name, text)
    except InvalidInput:
        return
    assert all(place.line <= text.count("\n") + 1 for place in places)
    assert rewrite_text(name, text, lambda place: None).after == text


NAMES = st.from_regex(r"\A(docker\.io/|quay\.io/)?([a-z0-9]{1,4}/){0,2}[a-z0-9]{2,5}(:[a-z0-9]{1,4})?\Z")


@settings(max_examples=100, deadline=None)
@given(name=NAMES)
def test_there_and_back(name: str) -> None:
    """What goes through the cache comes back as what it meant."""
    cache = PullThroughCache.of(
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
        [
            PullThroughRule(prefix="hub", upstream_url="registry-1.docker.io"),
            PullThroughRule(prefix="hub/x", upstream_url="quay.io"), PullThroughRule(prefix="q", upstream_url="quay.io", upstream_prefix="a"),
        ],
    )  # fmt: skip
    cached = cache.cached(name)
    if cached is not None:
        back = cache.original(cached)
        assert back is not None
        assert AnyReference.parse(back).canonical == AnyReference.parse(name).canonical


@settings(max_examples=150, deadline=None)
@given(branch=st.text(max_size=200), sha=st.from_regex(r"\A[0-9a-f]{7,40}\Z"))
def test_any_branch_makes_a_tag_that_reads_back(branch: str, sha: str) -> None:
    """Every branch name, however hostile, makes a legal tag of the convention."""
    made = STANDARD_CONVENTIONS["development"].format(branch=branch, sha=sha)
    parsed = STANDARD_CONVENTIONS.parse(made)
    assert parsed is not None
    assert parsed.values["sha"] == sha
    assert branch_slug(branch) == branch_slug(branch_slug(branch))


@settings(max_examples=150, deadline=None)
@given(one=st.text("ab-*", min_size=1, max_size=6), other=st.text("ab-*", min_size=1, max_size=6))
def test_witnesses_match_both(one: str, other: str) -> None:
    """Two patterns share a text exactly when a small search finds one."""
    import itertools
    import re

    shared = witness(glob_node(one), glob_node(other))
    compiled = [re.compile(regex_of(glob_node(p))) for p in (one, other)]
    if shared is not None:
        assert all(c.fullmatch(shared) for c in compiled)
    else:
        texts = ("".join(t) for n in range(6) for t in itertools.product("ab-", repeat=n))
        assert not any(all(c.fullmatch(t) for c in compiled) for t in texts)
