"""References against generated texts and against a second parser, docker-image-py."""

from __future__ import annotations

import re

from docker_image import reference
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ecrkit.errors import InvalidReference
from ecrkit.refs import ImageRef, RegistryHost
from tests.unit.refs.host_forms import HOSTS, PARTITIONS

hosts = st.sampled_from([h[0] for h in HOSTS] + ["public.ecr.aws", "ecr-public.aws.com"])
components = st.from_regex(r"[a-z0-9]{1,6}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}", fullmatch=True)
names = st.lists(components, min_size=1, max_size=4).map("/".join).filter(lambda n: len(n) >= 2)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True)
digests = st.binary(min_size=32, max_size=32).map(lambda b: "sha256:" + b.hex())


@st.composite
def references(draw: st.DrawFn) -> str:
    """Return a text that is a reference, with and without each part."""
    text = draw(hosts) + "/" if draw(st.booleans()) else ""
    name = draw(names)
    # Without a host, a first component with a dot would itself be read as one.
    assume(text or "." not in name.partition("/")[0] or "/" not in name)
    text += name
    if draw(st.booleans()):
        text += ":" + draw(tags)
    if draw(st.booleans()):
        text += "@" + draw(digests)
    return text


arns = st.builds(
    lambda place, name, digest: (
        f"arn:{place[0]}:ecr:{place[1]}:123456789012:repository/{name}{'/' + digest if digest else ''}"
    ),
    st.sampled_from(PARTITIONS),
    names,
    st.none() | digests,
)


@given(references() | arns)
def test_a_reference_prints_back(text: str) -> None:
    ref = ImageRef.parse(text)
    assert str(ref) == text
    assert ImageRef.parse(ref.uri) == ref


@given(st.text(alphabet="ab0./:@-_A\u00e9 ", max_size=40) | st.text(max_size=60) | references().map(lambda t: t[:-1]))
@example("a.b/c")
@example("a:b/c")
def test_any_text_is_refused_or_prints_back(text: str) -> None:
    try:
        ref = ImageRef.parse(text)
    except InvalidReference as error:
        told = error.problems
        assert told
    else:
        assert str(ref) == text


@given(references(), st.sampled_from(PARTITIONS))
def test_moving_there_and_back_is_no_change(text: str, place: tuple[str, str, str, str | None]) -> None:
    ref = ImageRef.parse(text)
    assume(ref.registry is not None and ref.registry.region is not None)
    assume(place[3] is not None or not ref.registry.dual_stack)
    assert str(ref.in_region(place[1]).in_region(ref.registry.region)) == text


edits = st.tuples(st.integers(0, 200), st.sampled_from([*"a0A./:@-_", "__", "--", "sha256:", ""]))


@given(references(), st.lists(edits, max_size=3))
def test_agrees_with_the_distribution_grammar(text: str, changes: list[tuple[int, str]]) -> None:
    for place, piece in changes:
        place %= len(text) + 1
        text = text[:place] + piece + text[place + 1 :]
    try:
        other = reference.Reference.parse(text)
    except Exception:
        other = None
    try:
        ours = ImageRef.parse(text)
    except InvalidReference:
        ours = None
    if ours is not None:
        assert other is not None, f"only ours takes {text!r}"
        assert (other["name"], other["tag"], other["digest"]) == (
            ours.uri.partition("@")[0].removesuffix(f":{ours.tag}"),
            ours.tag,
            ours.digest,
        )
    elif other is not None:
        assert _ecr_is_narrower(text, other), f"only the distribution grammar takes {text!r}"


def _ecr_is_narrower(text: str, other: reference.Reference) -> bool:
    """Whether ECR has a reason of its own to refuse what the distribution grammar takes."""
    first, slash, path = other["name"].partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        try:
            RegistryHost.parse(first)
        except InvalidReference:
            return True  # another registry
    else:
        path = other["name"]
        try:
            RegistryHost.parse(path)
        except InvalidReference:
            pass
        else:
            return True  # a host alone
    if len(path) < 2 or (other["digest"] and not re.fullmatch(r"sha256:[0-9a-f]{64}", other["digest"])):
        return True
    return text.startswith("arn:")
