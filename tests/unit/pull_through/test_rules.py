"""Rules of the pull-through cache: upstreams, credentials, names both ways (ECR user guide, pull through cache)."""

from __future__ import annotations

import pytest

from ecrkit.aws.drift import enum_values
from ecrkit.client import Registry
from ecrkit.errors import InvalidReference
from ecrkit.pull_through import UPSTREAMS, PullThroughCache, PullThroughRule, check_rules

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/hub-a1b2c3"
ROLE = "arn:aws:iam::123456789012:role/cache"
DIGEST = "sha256:" + "d" * 64


def rule(prefix: str, url: str, **more: str) -> PullThroughRule:
    return PullThroughRule(prefix=prefix, upstream_url=url, **more)


class TestUpstreams:
    """Every upstream of the installed model is known."""

    def test_the_models_enum(self) -> None:
        with Registry.local() as registry:
            assert set(UPSTREAMS) == set(enum_values(registry.client, "UpstreamRegistry"))

    @pytest.mark.parametrize(
        ("url", "credentials"),
        [
            ("registry-1.docker.io", {"credential_arn": SECRET}), ("public.ecr.aws", {}), ("quay.io", {}),
            ("registry.k8s.io", {}), ("ghcr.io", {"credential_arn": SECRET}), ("cgr.dev", {"credential_arn": SECRET}),
            ("registry.gitlab.com", {"credential_arn": SECRET}), ("myteam.azurecr.io", {"credential_arn": SECRET}),
            ("210987654321.dkr.ecr.us-east-1.amazonaws.com", {"custom_role_arn": ROLE}),
            ("123456789012.dkr.ecr.us-east-1.amazonaws.com", {}),
        ],
    )  # fmt: skip
    def test_a_good_rule_of_each(self, url: str, credentials: dict[str, str]) -> None:
        made = rule("up", url, **credentials)
        assert made.problems(account="123456789012", region="eu-west-1") == ()


class TestCredentials:
    """Which upstream needs a secret or role, and what they must be named."""

    @pytest.mark.parametrize(
        ("url", "credentials", "said"),
        [
            ("registry-1.docker.io", {}, "needs a secret"), ("ghcr.io", {}, "needs a secret"),
            ("public.ecr.aws", {"credential_arn": SECRET}, "takes no secret"),
            ("ghcr.io", {"credential_arn": SECRET.replace("ecr-pull", "my-pull")}, "must begin with ecr-pullthroughcache/"),
            ("ghcr.io", {"credential_arn": "hub"}, "no ARN of a secret"),
            ("ghcr.io", {"credential_arn": SECRET.replace("eu-west-1", "us-east-1")}, "own Region"),
            ("ghcr.io", {"credential_arn": SECRET.replace("123456789012", "210987654321")}, "own account"),
            ("ghcr.io", {"credential_arn": SECRET, "custom_role_arn": ROLE}, "upstream ecr only"),
            ("210987654321.dkr.ecr.us-east-1.amazonaws.com", {}, "needs a role"),
            ("210987654321.dkr.ecr.us-east-1.amazonaws.com", {"custom_role_arn": ROLE.replace("123456789012", "210987654321")}, "own account"),
            (HOST, {}, "is the registry itself"),
            ("docker.io", {"credential_arn": SECRET}, "is registry-1.docker.io"), ("example.com", {}, "no upstream that ECR caches"),
        ],
    )  # fmt: skip
    def test_refused(self, url: str, credentials: dict[str, str], said: str) -> None:
        problems = rule("up", url, **credentials).problems(account="123456789012", region="eu-west-1")
        if said == "is the registry itself":
            problems = PullThroughRule(prefix="up", upstream_url=url, upstream_prefix="up").problems(
                account="123456789012", region="eu-west-1"
            )
        assert any(said in p.message for p in problems)

    @pytest.mark.parametrize("prefix", ["a", "A/b", "a" * 31, "-a", "a//b", "root/"])
    def test_prefixes(self, prefix: str) -> None:
        assert bool(rule(prefix, "quay.io").problems()) == (prefix != "root/")

    def test_all_together(self) -> None:
        listed = [rule("quay", "quay.io"), rule("quay/", "quay.io"), *[rule(f"q{n}", "quay.io") for n in range(49)]]
        messages = [p.message for p in check_rules(listed)]
        assert messages == [
            "quay/ is the prefix of rule 0 too",
            "a registry has at most 50 pull-through cache rules, not 51",
        ]


class TestNames:
    """HOST/PREFIX/REPOSITORY:TAG, `library/` for Docker Hub's official images, and back."""

    CACHE = PullThroughCache.of(
        HOST,
        [
            rule("hub", "registry-1.docker.io"), rule("quay", "quay.io"), rule("team", "quay.io", upstream_prefix="team"),
            rule("ROOT", "public.ecr.aws"), rule("other", "210987654321.dkr.ecr.us-east-1.amazonaws.com"),
        ],
    )  # fmt: skip

    @pytest.mark.parametrize(
        ("original", "cached"),
        [
            ("docker.io/library/node:20", "hub/library/node:20"), ("docker.io/grafana/loki:3", "hub/grafana/loki:3"),
            (f"quay.io/a/b@{DIGEST}", f"quay/a/b@{DIGEST}"), (f"quay.io/a/b:1@{DIGEST}", f"quay/a/b:1@{DIGEST}"),
            ("quay.io/team/x:1", "team/x:1"), ("quay.io/teams/x:1", "quay/teams/x:1"),
            ("public.ecr.aws/docker/library/node:20", "docker/library/node:20"),
            ("210987654321.dkr.ecr.us-east-1.amazonaws.com/app", "other/app"),
        ],
    )  # fmt: skip
    def test_both_ways(self, original: str, cached: str) -> None:
        assert self.CACHE.cached(original) == f"{HOST}/{cached}"
        assert self.CACHE.original(f"{HOST}/{cached}") == original

    @pytest.mark.parametrize(
        "name", ["node:20", "library/node:20", "docker.io/node:20", "index.docker.io/library/node:20"]
    )
    def test_names_of_docker_hub(self, name: str) -> None:
        assert self.CACHE.cached(name) == f"{HOST}/hub/library/node:20"
        assert self.CACHE.original(f"{HOST}/hub/library/node:20", short=True) == "node:20"

    def test_none_is_for_it(self) -> None:
        assert self.CACHE.cached("ghcr.io/a/b:1") is None
        assert self.CACHE.cached("localhost:5000/a:1") is None
        assert self.CACHE.cached("quay.io:443/a/b:1") is None
        assert self.CACHE.cached(f"{HOST}/hub/library/node:20") is None
        assert self.CACHE.original("quay.io/a/b:1") is None
        assert PullThroughCache.of(HOST, [rule("hub", "registry-1.docker.io")]).original(f"{HOST}/mine:1") is None

    def test_a_name_that_another_rule_would_take_is_no_way(self) -> None:
        # public.ecr.aws/quay/x through ROOT would be quay/x here, which is quay.io's.
        assert self.CACHE.cached("public.ecr.aws/quay/x:1") is None

    def test_dual_stack_hosts_are_the_same_registry(self) -> None:
        assert self.CACHE.original("123456789012.dkr-ecr.eu-west-1.on.aws/quay/a/b:1") == "quay.io/a/b:1"

    def test_no_reference(self) -> None:
        with pytest.raises(InvalidReference):
            self.CACHE.cached("Node:20")
        with pytest.raises(InvalidReference):
            PullThroughCache.of("public.ecr.aws", [])
