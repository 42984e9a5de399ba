"""The kubelet's credential providers: patterns, the builder, the checker."""

from __future__ import annotations

import copy
import fnmatch
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.auth import (
    ServiceAccountTokens,
    check_credential_provider_config,
    credential_provider_config,
    default_patterns,
    host_forms,
    match_image,
    unmatched,
)
from ecrkit.auth.credential_provider import kubelet_version
from ecrkit.auth.durations import go_duration
from ecrkit.auth.match_images import pattern_problems
from ecrkit.errors import InvalidInput

REGIONS = {
    "us-east-1": "amazonaws.com",
    "eu-west-1": "amazonaws.com",
    "cn-north-1": "amazonaws.com.cn",
    "us-gov-west-1": "amazonaws.com",
    "us-iso-east-1": "c2s.ic.gov",
    "us-isob-east-1": "sc2s.sgov.gov",
    "eu-isoe-west-1": "cloud.adc-e.uk",
    "us-isof-south-1": "csp.hci.ic.gov",
    "eusc-de-east-1": "amazonaws.eu",
}
HOSTS = [
    str(form) for region, suffix in REGIONS.items() for form in host_forms(f"123456789012.dkr.ecr.{region}.{suffix}")
] + ["public.ecr.aws", "ecr-public.aws.com"]
HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


class TestGlobs:
    """Equal port, as many labels, one glob for each label, the path a prefix (kubelet, URLsMatchStr)."""

    @pytest.mark.parametrize(
        ("pattern", "image", "matches"),
        [
            ("*.dkr.ecr.*.amazonaws.com", HOST, True),
            ("*.dkr.ecr.*.amazonaws.com", f"{HOST}/team/app:v1", True),
            ("*.dkr.ecr.*.amazonaws.com", f"{HOST}/app@sha256:" + "0" * 64, True),
            ("*.amazonaws.com", HOST, False),
            ("*", HOST, False),
            ("**.amazonaws.com", HOST, False),
            ("*.dkr.ecr.*.amazonaws.com", f"{HOST}.cn", False),
            ("*.dkr.ecr.*.*", HOST, False),
            ("1*2.dkr.ecr.eu-*-1.amazonaws.com", HOST, True),
            ("*.dkr.ecr.us-*.amazonaws.com", HOST, False),
            ("*.dkr.ecr.*.amazonaws.com", "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", False),
            ("*.dkr.ecr*.*.amazonaws.com", "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", True),
            ("*.dkr-ecr.*.on.aws", "123456789012.dkr-ecr.eu-west-1.on.aws", True),
            (f"{HOST}/team", f"{HOST}/team/app", True),
            (f"{HOST}/team", f"{HOST}/teamwork/app", True),
            (f"{HOST}/team", f"{HOST}/other/app", False),
            (f"{HOST}/*", f"{HOST}/team", False),
            (f"{HOST}:443", HOST, False),
            (f"{HOST}:443", f"{HOST}:443/app:v1", True),
            ("PUBLIC.ecr.aws", "public.ecr.aws", False),
            ("public.ecr.aws", "public.ecr.aws/nginx/nginx:1", True),
            ("*a*a*.x", "a.x", False),
            ("*a*a*.x", "aba.x", True),
            ("ab*ba.x", "aba.x", False),
            ("", "", False),
        ],
    )
    def test_table(self, pattern, image, matches):
        found = match_image(pattern, image)
        assert found.matches is matches, found.reason
        assert found.reason

    @settings(max_examples=150)
    @given(
        glob=st.text("ab*", max_size=6),
        label=st.text("ab", min_size=1, max_size=6),
    )
    def test_a_label_is_matched_as_a_glob(self, glob, label):
        if glob:
            assert match_image(f"{glob}.x", f"{label}.x").matches == fnmatch.fnmatchcase(label, glob)

    def test_many_stars_take_no_time(self):
        assert not match_image("*a" * 5000 + "b.x", "a" * 5000 + ".x").matches

    @pytest.mark.parametrize(
        ("pattern", "said"),
        [
            ("https://*.dkr.ecr.*.amazonaws.com", "leave out 'https://'"),
            ("*.dkr.ecr.eu-west-?.amazonaws.com", "begins a query"),
            ("*.dkr.ecr.[eu]*.amazonaws.com", "IPv6"),
            ("*.dkr.ecr.*.amazonaws.com:*", "port must be a number"),
            ("*.dkr.ecr.*.amazonaws.com/team-*", "glob is not allowed there"),
            ("*.dkr.ecr.*.amazonaws.com/app:v1", "without tag and digest"),
            ("*..amazonaws.com", "empty domain label"),
            ("**.amazonaws.com", "one label only"),
            ("*.DKR.ecr.*.amazonaws.com", "with case"),
            ("a#b.c", "fragment"),
        ],
    )
    def test_what_is_wrong_with_a_pattern(self, pattern, said):
        assert said in "; ".join(p.message for p in pattern_problems(pattern))

    def test_the_reason_counts_labels(self):
        assert match_image("*.amazonaws.com", HOST).reason == "the pattern has 3 domain labels, the host has 6"


class TestDefaults:
    """Every documented host form has a pattern."""

    def test_every_host_of_every_partition(self):
        assert unmatched(default_patterns("1.34"), HOSTS) == ()

    def test_public_dual_stack_comes_with_1_32(self):
        assert unmatched(default_patterns("1.31"), HOSTS) == ("ecr-public.aws.com",)

    def test_no_pattern_is_idle(self):
        for pattern in default_patterns("1.34"):
            assert any(match_image(pattern, host).matches for host in HOSTS), pattern

    def test_no_default_matches_another_registry(self):
        others = ["docker.io", "ghcr.io", f"{HOST}.evil.example", "evil.example/123456789012.dkr.ecr.x.amazonaws.com"]
        assert unmatched(default_patterns("1.34"), others) == tuple(others)

    @pytest.mark.parametrize(("text", "version"), [("1.34", (1, 34)), ("v1.32.0-eks-7e7", (1, 32)), ("1.9", (1, 9))])
    def test_versions(self, text, version):
        assert kubelet_version(text) == version

    @pytest.mark.parametrize("text", ["", "1", "latest", "1.x"])
    def test_what_is_no_version(self, text):
        with pytest.raises(InvalidInput):
            kubelet_version(text)


class TestBuilder:
    def test_the_plain_one(self):
        made = credential_provider_config(kubelet="1.33")
        (provider,) = made.document["providers"]
        assert provider["name"] == "ecr-credential-provider"
        assert provider["apiVersion"] == "credentialprovider.kubelet.k8s.io/v1"
        assert "tokenAttributes" not in provider and not made.secret
        assert "renews tokens at half life" in made.advice.stops_working

    def test_variables_and_arguments(self):
        made = credential_provider_config(kubelet="1.34", args=["get-credentials", "-v=2"], env={"AWS_PROFILE": "p"})
        (provider,) = made.document["providers"]
        assert provider["env"] == [{"name": "AWS_PROFILE", "value": "p"}] and provider["args"][1] == "-v=2"

    @pytest.mark.parametrize("required", [True, False])
    def test_service_account_tokens(self, required):
        made = credential_provider_config(
            kubelet="1.34", service_account_tokens=ServiceAccountTokens(required=required, cache="Token")
        )
        held = made.document["providers"][0]["tokenAttributes"]
        key = "requiredServiceAccountAnnotationKeys" if required else "optionalServiceAccountAnnotationKeys"
        assert held[key] == ["eks.amazonaws.com/ecr-role-arn"]
        assert held["requireServiceAccount"] is required and held["cacheType"] == "Token"
        assert "request-serviceaccounts-token-audience" in made.advice.warnings[-1]
        assert check_credential_provider_config(made.document, images=[HOST], kubelet="1.34").findings == ()

    def test_what_it_builds_the_checker_takes(self):
        for kubelet in ("1.27", "1.31", "1.32", "1.36"):
            made = credential_provider_config(kubelet=kubelet)
            assert check_credential_provider_config(made.to_json(), images=[HOST], kubelet=kubelet).ok

    @pytest.mark.parametrize(
        ("options", "path"),
        [
            ({"kubelet": "1.33", "service_account_tokens": ServiceAccountTokens()}, "service_account_tokens"),
            ({"kubelet": "1.34", "match_images": []}, "match_images"),
            ({"kubelet": "1.34", "match_images": ["https://x"]}, "match_images[0]"),
            ({"kubelet": "1.34", "default_cache_duration": "12"}, "default_cache_duration"),
            ({"kubelet": "1.34", "default_cache_duration": "-1h"}, "default_cache_duration"),
            (
                {"kubelet": "1.34", "service_account_tokens": ServiceAccountTokens(audience="")},
                "service_account_tokens.audience",
            ),
        ],
    )
    def test_what_it_refuses(self, options, path):
        with pytest.raises(InvalidInput) as refused:
            credential_provider_config(**options)
        assert [p.path for p in refused.value.problems] == [path]

    def test_an_old_kubelet_and_public_dual_stack(self):
        made = credential_provider_config(kubelet="1.30", match_images=["ecr-public.aws.com"])
        assert "does not know ecr-public.aws.com" in made.advice.warnings[0]


GOOD = credential_provider_config(kubelet="1.34", service_account_tokens=ServiceAccountTokens()).document


def changed(path, value):
    document = copy.deepcopy(GOOD)
    *way, last = path
    at = document
    for key in way:
        at = at[key]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return document


P = ("providers", 0)
T = (*P, "tokenAttributes")


class TestChecker:
    """What the kubelet refuses (validateCredentialProviderConfig), and what it takes and never uses."""

    @pytest.mark.parametrize(
        ("document", "code"),
        [
            (changed(("kind",), "Secret"), "kind"),
            (changed(("apiVersion",), "v1"), "api-version"),
            (changed(("providers",), []), "no-providers"),
            (changed(("providers",), ["x"]), "provider"),
            (changed((*P, "name"), "a/b"), "name"),
            (changed((*P, "name"), ".."), "name"),
            (changed((*P, "name"), None), "name"),
            (changed((*P, "apiVersion"), "v1"), "plugin-api"),
            (changed((*P, "apiVersion"), "credentialprovider.kubelet.k8s.io/v1beta1"), "token-attributes-api"),
            (changed((*P, "matchImages"), []), "match-images"),
            (changed((*P, "matchImages"), ["x.y", 1]), "match-images"),
            (changed((*P, "matchImages"), ["https://x.y"]), "pattern"),
            (changed((*P, "defaultCacheDuration"), None), "cache-duration"),
            (changed((*P, "defaultCacheDuration"), "-1h"), "cache-duration"),
            (changed((*P, "defaultCacheDuration"), "1d"), "cache-duration"),
            (changed((*P, "tokenAttributes"), "x"), "token-attributes"),
            (changed((*T, "serviceAccountTokenAudience"), ""), "audience"),
            (changed((*T, "requireServiceAccount"), None), "require-service-account"),
            (changed((*T, "cacheType"), None), "cache-type"),
            (changed((*T, "cacheType"), "Image"), "cache-type"),
            (changed((*T, "requiredServiceAccountAnnotationKeys"), ["a/b"]), "required-keys"),
            (changed((*T, "optionalServiceAccountAnnotationKeys"), ["eks.amazonaws.com/role-arn"]), "wrong-role-key"),
            (changed((*T, "optionalServiceAccountAnnotationKeys"), ["a b"]), "annotation-key"),
            (changed((*T, "optionalServiceAccountAnnotationKeys"), ["a/b", "a/b"]), "duplicate-key"),
            (changed((*T, "optionalServiceAccountAnnotationKeys"), []), "no-role-key"),
            (
                changed((*T, "requiredServiceAccountAnnotationKeys"), ["eks.amazonaws.com/ecr-role-arn"]),
                "key-twice",
            ),
            ({**GOOD, "providers": GOOD["providers"] * 2}, "duplicate-name"),
            ({"credHelpers": {HOST: "ecr-login"}}, "docker-config"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_each_fault(self, document, code):
        assert check_credential_provider_config(GOOD, kubelet="1.34").findings == ()
        found = check_credential_provider_config(document)
        assert code in found.codes()
        assert all(f.path.startswith("$") and f.message and f.fix for f in found.findings)
        assert code == "no-role-key" or not found.ok

    def test_tokens_need_1_34(self):
        assert "token-attributes-version" in check_credential_provider_config(GOOD, kubelet="1.33").codes()

    def test_hosts_no_pattern_matches(self):
        document = changed((*P, "matchImages"), ["*.dkr.ecr.*.amazonaws.com", "*.ecr.aws"])
        found = check_credential_provider_config(
            document,
            images=[f"{HOST}/aa", f"{HOST}/bb", "public.ecr.aws", "123456789012.dkr-ecr.eu-west-1.on.aws/aa:v1"],
        )
        assert found.unmatched == ("123456789012.dkr-ecr.eu-west-1.on.aws",) and not found.ok
        assert "unmatched-host" in found.codes() and "anonymously" in found.explain()

    def test_only_the_ecr_plugin_counts(self):
        document = changed((*P, "name"), "acr-credential-provider")
        found = check_credential_provider_config(document, images=[HOST])
        assert found.unmatched == (HOST,) and "no-ecr-plugin" in found.codes()

    def test_a_pattern_with_a_path_tells_images_apart(self):
        document = changed((*P, "matchImages"), [f"{HOST}/team"])
        found = check_credential_provider_config(document, images=[f"{HOST}/team/app:v1", f"{HOST}/other"])
        assert found.unmatched == (f"{HOST}/other",)

    @pytest.mark.parametrize("text", ["", "[]", "kind: CredentialProviderConfig", "[" * 100_000])
    def test_a_text_that_is_no_object(self, text):
        with pytest.raises(InvalidInput):
            check_credential_provider_config(text)

    @settings(max_examples=60)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["kind", "providers", "name", "matchImages", "tokenAttributes", "defaultCacheDuration",
                                 "optionalServiceAccountAnnotationKeys", "requiredServiceAccountAnnotationKeys"]),
                inner, max_size=4,
            ),
        )
    )  # fmt: skip
    def test_any_document_gets_an_answer(self, value):
        for document in ({"providers": [value]}, {"providers": [{"tokenAttributes": value}]}, {"providers": value}):
            check_credential_provider_config(json.loads(json.dumps(document)))


class TestDurations:
    """Durations as Go parses them (time.ParseDuration)."""

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("12h0m0s", 43200), ("1.5h", 5400), ("0", 0), ("-1m", -60), ("500ms", 0.5), ("2us", 2e-6), (".5s", 0.5)],
    )
    def test_good(self, text, seconds):
        assert go_duration(text).total_seconds() == seconds

    @pytest.mark.parametrize("text", ["", "12", "1d", "1h 30m", "h", "1H", "٣h", "1h" * 60, "9" * 30 + "h"])
    def test_bad(self, text):
        with pytest.raises(InvalidInput):
            go_duration(text)
