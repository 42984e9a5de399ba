"""Image references: every form parses, prints back, and moves without losing what it is."""

from __future__ import annotations

import pickle

import attrs
import pytest

from ecrkit.errors import InvalidReference
from ecrkit.refs import ImageRef, RegistryHost
from tests.unit.refs.host_forms import ACCOUNT, DIGEST, HOSTS, PARTITIONS

HOST = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"


def paths(text: str) -> list[str]:
    """Return the paths of the problems of a text that is no reference."""
    with pytest.raises(InvalidReference) as caught:
        ImageRef.parse(text)
    return [p.path for p in caught.value.problems]


class TestForms:
    """`repo`, `repo:tag`, `repo@digest`, `repo:tag@digest`, each with and without a host of ECR."""

    @pytest.mark.parametrize("host", ["", HOST, "public.ecr.aws", "ecr-public.aws.com"])
    @pytest.mark.parametrize(
        ("suffix", "tag", "digest"),
        [("", None, None), (":v1", "v1", None), (f"@{DIGEST}", None, DIGEST), (f":v1@{DIGEST}", "v1", DIGEST)],
    )
    def test_parts_are_read_and_printed_back(self, host: str, suffix: str, tag: str | None, digest: str | None) -> None:
        text = f"{host}/team/app{suffix}".lstrip("/")
        ref = ImageRef.parse(text)
        assert (str(ref.registry or ""), ref.repository, ref.tag, ref.digest) == (host, "team/app", tag, digest)
        assert str(ref) == ref.uri == text

    @pytest.mark.parametrize("host", [h[0] for h in HOSTS])
    def test_every_private_host_form(self, host: str) -> None:
        text = f"{host}/team/app:v1@{DIGEST}"
        assert str(ImageRef.parse(text)) == text

    def test_a_single_component_is_a_repository(self) -> None:
        assert ImageRef.parse("app:Latest").repository == "app"

    def test_a_first_component_without_dot_is_no_host(self) -> None:
        ref = ImageRef.parse("team/app")
        assert (ref.registry, ref.repository) == (None, "team/app")

    def test_a_host_needs_no_scheme_and_keeps_none(self) -> None:
        assert paths(f"https://{HOST}/app") == [repr(f"https://{HOST}/app")]

    def test_references_are_values(self) -> None:
        one, two = ImageRef.parse(f"{HOST}/app:v1"), ImageRef.parse(f"{HOST}/app:v1")
        assert len({one, two}) == 1
        assert pickle.loads(pickle.dumps(one)) == one
        assert one != ImageRef.parse(f"{HOST}/app:v2")


class TestFaultsAreNamed:
    """Every faulty part is told, and the text is refused."""

    def test_all_parts_at_once(self) -> None:
        assert paths("docker.io/Team/App:-x@sha256:12") == ["host", "repository", "tag", "digest"]

    @pytest.mark.parametrize(
        ("text", "path"),
        [
            ("localhost/app", "host"),
            ("localhost:5000/app", "host"),
            ("quay.io/team/app:v1", "host"),
            (f"{HOST}:443/app", "host"),
            (f"{HOST}/", "repository"),
            (f"{HOST}//app", "repository"),
            (f"{HOST}/app/", "repository"),
            ("public.ecr.aws/" + "x" * 206, "repository"),
            ("app:", "tag"),
            ("app:v1:v2", "tag"),
            ("app:" + "x" * 129, "tag"),
            ("app@", "digest"),
            (f"app@{DIGEST}@{DIGEST}", "digest"),
            (f"app@{DIGEST}:v1", "digest"),
            ("app@sha512:" + "0" * 128, "digest"),
            (":v1", "repository"),
            (f"@{DIGEST}", "repository"),
            (" app", "repository"),
            ("app:v1 ", "tag"),
            ("app:v1\n", "tag"),
        ],
    )
    def test_the_faulty_part(self, text: str, path: str) -> None:
        assert paths(text) == [path]

    @pytest.mark.parametrize(
        "text", [HOST, f"{HOST}:v1", f"{HOST}@{DIGEST}", "public.ecr.aws", "ecr-public.aws.com:v1"]
    )
    def test_a_host_alone_is_no_repository(self, text: str) -> None:
        with pytest.raises(InvalidReference, match="is a registry host; the repository is missing"):
            ImageRef.parse(text)

    @pytest.mark.parametrize("value", [None, 5, b"app:v1", ["app"]])
    def test_no_text(self, value: object) -> None:
        with pytest.raises(InvalidReference, match="a reference is a string"):
            ImageRef.parse(value)  # type: ignore[arg-type]

    @pytest.mark.parametrize("text", ["", "x" * 1025])
    def test_length(self, text: str) -> None:
        with pytest.raises(InvalidReference, match="between 1 and 1024 characters"):
            ImageRef.parse(text)

    def test_the_longest_reference_fits(self) -> None:
        host = f"{ACCOUNT}.dkr-ecr-fips.cn-northwest-1.on.amazonwebservices.com.cn"
        text = f"{host}/{'x' * 256}:{'t' * 128}@{DIGEST}"
        assert str(ImageRef.parse(text)) == text

    def test_public_names_up_to_205(self) -> None:
        assert ImageRef.parse("public.ecr.aws/" + "x" * 205).registry == RegistryHost.parse("public.ecr.aws")


class TestArn:
    """Repository ARNs, and the form with a digest that Inspector writes."""

    @pytest.mark.parametrize(("partition", "region"), [(p, r) for p, r, _, _ in PARTITIONS])
    def test_every_partition(self, partition: str, region: str) -> None:
        text = f"arn:{partition}:ecr:{region}:{ACCOUNT}:repository/team/app"
        ref = ImageRef.parse(text)
        assert ref.registry == RegistryHost.private(ACCOUNT, region)
        assert (str(ref), ref.arn, ref.repository, ref.tag, ref.digest) == (text, text, "team/app", None, None)

    def test_inspectors_form(self) -> None:
        text = f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/team/app/{DIGEST}"
        ref = ImageRef.parse(text)
        assert (ref.repository, ref.digest, str(ref)) == ("team/app", DIGEST, text)
        assert ref.uri == f"{HOST}/team/app@{DIGEST}"

    def test_an_arn_names_the_same_as_its_uri(self) -> None:
        arn = ImageRef.parse(f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/app")
        uri = ImageRef.parse(f"{HOST}/app")
        assert arn == uri and hash(arn) == hash(uri)

    def test_fips_and_dual_stack_share_the_arn(self) -> None:
        dual = ImageRef.parse(f"{ACCOUNT}.dkr-ecr-fips.us-west-2.on.aws/app:v1")
        assert dual.arn == f"arn:aws:ecr:us-west-2:{ACCOUNT}:repository/app"

    def test_moving_keeps_the_form_and_follows_the_partition(self) -> None:
        ref = ImageRef.parse(f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/app").in_region("cn-north-1")
        assert str(ref) == f"arn:aws-cn:ecr:cn-north-1:{ACCOUNT}:repository/app"

    def test_with_a_tag_it_prints_as_uri(self) -> None:
        ref = ImageRef.parse(f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/app").with_tag("v1")
        assert str(ref) == f"{HOST}/app:v1"

    def test_in_another_registry_it_prints_as_uri(self) -> None:
        ref = ImageRef.parse(f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/app")
        assert str(ref.in_registry(RegistryHost.parse("public.ecr.aws"))) == "public.ecr.aws/app"
        fips = RegistryHost.private(ACCOUNT, "us-west-2", fips=True)
        assert str(ref.in_registry(fips)) == f"{ACCOUNT}.dkr.ecr-fips.us-west-2.amazonaws.com/app"

    def test_evolved_to_a_public_registry_it_prints_as_uri(self) -> None:
        ref = ImageRef.parse(f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/app")
        assert str(attrs.evolve(ref, registry=RegistryHost.parse("public.ecr.aws"))) == "public.ecr.aws/app"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("arn:aws:ecr", None),
            (f"arn:aws:s3:eu-west-1:{ACCOUNT}:repository/app", ["service"]),
            (f"arn:aws:ecr::{ACCOUNT}:repository/app", ["region"]),
            (f"arn:aws-cn:ecr:eu-west-1:{ACCOUNT}:repository/app", ["partition"]),
            (f"arn:aws:ecr:cn-north-1:{ACCOUNT}:repository/app", ["partition"]),
            ("arn:aws:ecr:eu-west-1:12:repository/app", ["account"]),
            (f"arn:aws:ecr:eu-west-1:{ACCOUNT}:image/app", ["resource"]),
            (f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/", ["repository"]),
            (f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/*", ["repository"]),
            (f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/app:v1", ["repository"]),
            (f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/app/sha256:12", ["digest"]),
            ("arn:aws:s3:Ireland:12:image/app", ["service", "region", "account", "resource"]),
        ],
    )
    def test_faults(self, text: str, expected: list[str] | None) -> None:
        assert paths(text) == (expected if expected is not None else [repr(text)])

    @pytest.mark.parametrize("text", ["app:v1", "public.ecr.aws/app"])
    def test_no_arn_without_a_private_registry(self, text: str) -> None:
        with pytest.raises(InvalidReference, match="names no private registry"):
            _ = ImageRef.parse(text).arn


class TestMoves:
    """`in_region`, `pinned`, `with_tag`, `in_registry` return new references."""

    def test_in_region_changes_the_region_only(self) -> None:
        ref = ImageRef.parse(f"{ACCOUNT}.dkr-ecr.us-west-2.on.aws/team/app:v1@{DIGEST}")
        assert str(ref.in_region("us-east-1")) == f"{ACCOUNT}.dkr-ecr.us-east-1.on.aws/team/app:v1@{DIGEST}"
        assert str(ref).startswith(f"{ACCOUNT}.dkr-ecr.us-west-2")

    @pytest.mark.parametrize("text", ["app:v1", "public.ecr.aws/app:v1"])
    def test_nothing_to_move(self, text: str) -> None:
        with pytest.raises(InvalidReference, match="no region"):
            ImageRef.parse(text).in_region("us-east-1")

    def test_pinned_drops_the_tag(self) -> None:
        assert str(ImageRef.parse("app:v1").pinned(DIGEST)) == f"app@{DIGEST}"

    def test_pinned_refuses_what_is_no_digest(self) -> None:
        with pytest.raises(InvalidReference, match="invalid digest"):
            ImageRef.parse("app:v1").pinned("v1")

    def test_with_tag_drops_the_digest(self) -> None:
        assert str(ImageRef.parse(f"app@{DIGEST}").with_tag("v2")) == "app:v2"

    def test_with_tag_refuses_what_is_no_tag(self) -> None:
        with pytest.raises(InvalidReference, match="invalid tag"):
            ImageRef.parse("app").with_tag("-v2")

    def test_in_registry_sets_the_host(self) -> None:
        assert str(ImageRef.parse("app:v1").in_registry(RegistryHost.parse(HOST))) == f"{HOST}/app:v1"
