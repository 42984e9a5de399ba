"""What went wrong for others with hosts and tokens: each report is a test, named by where it was told."""

from __future__ import annotations

import base64

import pytest

from ecrkit import Registry
from ecrkit.access import diagnose
from ecrkit.access.documents import PolicyDocument
from ecrkit.access.presets import public_pull
from ecrkit.auth import (
    TokenScope,
    check_credential_provider_config,
    credential_provider_config,
    docker_config,
    ecr_external_secret,
    flux_source,
    host_forms,
    image_pull_secret,
    image_updater_registries,
    lint_image_updater,
    merge_docker_config,
    pull_secret_state,
)
from ecrkit.errors import InvalidInput
from ecrkit.refs import ImageRef, RegistryHost
from tests.support.tokens import NOW, PASSWORD, make_token

HOST = "123456789012.dkr.ecr.us-west-2.amazonaws.com"
DUAL = "123456789012.dkr-ecr.us-west-2.on.aws"


def host(text: str) -> tuple[str | None, str | None, bool, bool]:
    found = RegistryHost.parse(text)
    return found.account, found.region, found.dual_stack, found.fips


def test_public_dual_stack_needs_a_newer_node():
    """awslabs/amazon-eks-ami#2592: not in matchImages, so the pull is anonymous and throttled."""
    image = "ecr-public.aws.com/eks/pause:3.9"
    assert TokenScope.of(image) == TokenScope.public() and RegistryHost.parse("ecr-public.aws.com").dual_stack
    older = check_credential_provider_config(
        credential_provider_config(kubelet="1.31").document, images=[image], kubelet="1.31"
    )
    assert older.unmatched == ("ecr-public.aws.com",) and "1.32" in older.explain()
    newer = credential_provider_config(kubelet="1.32").document
    assert check_credential_provider_config(newer, images=[image], kubelet="1.32").ok


def test_public_dual_stack_is_ecr_public():
    """awslabs/amazon-ecr-credential-helper#1054: credentials not found in native keychain."""
    assert TokenScope.of("ecr-public.aws.com").region == "us-east-1"
    made = docker_config(["ecr-public.aws.com"], make_token(None))
    assert list(made.document["auths"]) == ["ecr-public.aws.com"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        # awslabs/amazon-ecr-credential-helper#968: refused by a pattern; kubescape/kubevuln#563: taken for anonymous
        ("123456789012.dkr-ecr.us-west-2.on.aws", ("123456789012", "us-west-2", True, False)),
        # kubernetes/cloud-provider-aws#1069: the Region was not parsed and the default one was used
        ("123456789123.dkr-ecr-fips.us-west-2.on.aws", ("123456789123", "us-west-2", True, True)),
        (
            "123456789123.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
            ("123456789123", "cn-north-1", True, False),
        ),
    ],
)
def test_dual_stack_hosts(text, parts):
    assert host(text) == parts and TokenScope.of(text).region == parts[1]


def test_patterns_for_dual_stack():
    """bottlerocket#4555, #4518: wrong patterns, so the plugin is never called."""
    document = credential_provider_config(
        kubelet="1.34", match_images=["*.dkr.ecr.*.amazonaws.com", "*.dkr-ecr.on.aws", "*.dkr-ecr.*.on.aws.com"]
    ).document
    fips = "123456789012.dkr-ecr-fips.us-west-2.on.aws"
    assert check_credential_provider_config(document, images=[HOST, DUAL, fips]).unmatched == (DUAL, fips)


def test_the_region_is_never_empty():
    """docker/login-action#872: Region is missing."""
    assert TokenScope.of(f"{DUAL}/team/app").region == "us-west-2"


def test_flux_and_ecr_public():
    """fluxcd/pkg#936: invalid AWS registry."""
    made = flux_source("helm", "public.ecr.aws/aws-ec2/helm")
    assert made.document["spec"]["provider"] == "aws"
    assert "sts:GetServiceBearerToken" in made.advice.stops_working
    assert "ecr-public:GetAuthorizationToken" in made.advice.stops_working
    assert "2.6" in made.advice.warnings[0]


def test_no_fips_host_is_invented_in_europe():
    """cloudfoundry/diego-release#1093: FIPS forced in eu-central-1, no such endpoint."""
    forms = host_forms("123456789012.dkr.ecr.eu-central-1.amazonaws.com")
    assert [form.fips for form in forms] == [False, False]
    with Registry.local(region="eu-central-1") as registry:
        assert "fips" not in registry.client.meta.endpoint_url


def test_entries_are_keyed_by_the_hosts_pulled_from():
    """aws-actions/amazon-ecr-login#1084, amazon-ecs-agent#5106: login to proxyEndpoint, pull from another form."""
    token = make_token("us-west-2", endpoint=f"https://{HOST}")
    assert set(docker_config([f"{DUAL}/team/app:v1"], token).document["auths"]) == {DUAL}
    assert {HOST, DUAL} <= set(docker_config([HOST], token, all_forms=True).document["auths"])


def test_the_suffix_comes_from_the_partition():
    """terraform-provider-aws#5741: a repository in cn-north-1 with a URL without .cn."""
    assert str(RegistryHost.private("123456789012", "cn-north-1")).endswith(".amazonaws.com.cn")
    with pytest.raises(InvalidInput, match=r"amazonaws\.com\.cn"):
        docker_config(["123456789012.dkr.ecr.cn-north-1.amazonaws.com"], make_token("cn-north-1"))


def test_a_host_has_no_scheme_and_an_account_12_digits():
    """hashicorp/packer#11940: invalid URI for request."""
    assert docker_config([HOST], make_token("us-west-2")).document["auths"].keys() == {HOST}
    with pytest.raises(InvalidInput, match=r"12 digits.*10 characters"):
        docker_config(["1234567890.dkr.ecr.ca-central-1.amazonaws.com"], make_token("ca-central-1"))


def test_the_password_is_decoded():
    """aws-sdk-java#818: the base64 text used as password, token expired."""
    token = make_token()
    assert token.password.reveal() == PASSWORD
    assert base64.b64decode(token.basic.reveal()).decode() == f"AWS:{PASSWORD}"


def test_the_stale_twin_with_a_scheme_goes():
    """aws-cli#2351: HOST and https://HOST, and the stale entry wins."""
    existing = {"auths": {f"https://{HOST}": {"auth": "c3RhbGU="}, HOST: {"auth": "c3RhbGU="}}}
    merge = merge_docker_config(existing, docker_config([HOST], make_token("us-west-2")))
    assert list(merge.config["auths"]) == [HOST] and merge.report.dropped == (f"https://{HOST}",)


def test_a_secret_made_once_expires():
    """fluxcd/image-reflector-controller#71, gitpod#1900: works for 12 hours."""
    made = image_pull_secret("ecr", [HOST], make_token("us-west-2"))
    assert made.advice.refresh_at == NOW.replace(hour=6) and made.advice.stops_at == NOW.replace(hour=12)
    state = pull_secret_state(made.document, now=NOW.replace(hour=13))
    assert state.state == "expired" and "authorization token has expired" in state.reason
    found = diagnose("DENIED: Your authorization token has expired. Reauthenticate and try again.")
    assert found.known and "secret" in found.explain()


def entry(**changes: str) -> dict[str, object]:
    made = image_updater_registries(HOST, "ext:/scripts/ecr.sh").document
    made["registries"][0] |= changes
    return made


def test_credentials_are_read_again_before_they_expire():
    """argocd-image-updater#1367: credsexpire 12h fails after 12 hours."""
    (finding,) = lint_image_updater(entry(credsexpire="12h"))
    assert (finding.code, finding.severity) == ("creds-expire-too-late", "error")
    assert lint_image_updater(entry(credsexpire="10h")) == lint_image_updater(entry(credsexpire="6h")) == ()


def test_the_cli_is_slow():
    """argocd-image-updater#657: ten seconds are over before the AWS CLI has started."""
    script = "#!/bin/sh\naws ecr --region us-west-2 get-authorization-token --output text | base64 -d\n"
    (finding,) = lint_image_updater(entry(), scripts={"/scripts/ecr.sh": script})
    assert "10 seconds" in finding.message and "no setting changes that" in finding.message


def test_the_token_is_of_the_registrys_region():
    """argocd-image-updater#422: no basic auth credentials."""
    (finding,) = lint_image_updater(entry(), token_region="eu-west-1")
    assert finding.code == "token-region" and "no basic auth credentials" in finding.message


def test_public_needs_a_public_token_and_names_no_endpoint():
    """external-secrets#4228: the private token does not open public.ecr.aws, and there is no proxy_endpoint."""
    with pytest.raises(InvalidInput, match="ECR Public"):
        docker_config(["public.ecr.aws"], make_token("us-east-1"))
    made = ecr_external_secret("public", ["public.ecr.aws"])
    assert made.generator.document["spec"] == {"region": "us-east-1", "scope": "public"}
    assert "proxy_endpoint" not in made.to_json()
    template = made.external_secret.document["spec"]["target"]["template"]
    assert template["type"] == "kubernetes.io/dockerconfigjson"  # external-secrets#4015: a ready one is expected


def test_the_kubelet_ignores_a_credential_store():
    """kubernetes#59406."""
    found = check_credential_provider_config({"credsStore": "ecr-login"}, images=[HOST])
    assert not found.ok and found.unmatched == (HOST,) and "ignores" in found.explain()


def test_the_docker_helper_is_no_plugin():
    """amazon-ecr-credential-helper#616: Error parsing the serverURL."""
    document = credential_provider_config(kubelet="1.34").document
    document["providers"][0]["name"] = "docker-credential-ecr-login"
    found = check_credential_provider_config(document)
    assert "docker-helper" in found.codes() and "ecr-credential-provider" in found.explain()


def test_the_plugin_reads_its_own_annotation():
    """cloud-provider-aws#1280, #1281: eks.amazonaws.com/role-arn is passed on and not read."""
    document = credential_provider_config(kubelet="1.34").document
    document["providers"][0]["tokenAttributes"] = {
        "serviceAccountTokenAudience": "sts.amazonaws.com",
        "cacheType": "ServiceAccount",
        "requireServiceAccount": False,
        "optionalServiceAccountAnnotationKeys": ["eks.amazonaws.com/role-arn"],
    }
    found = check_credential_provider_config(document)
    assert "wrong-role-key" in found.codes() and "eks.amazonaws.com/ecr-role-arn" in found.explain()


def test_a_plugin_that_times_out_has_no_route():
    """cloud-provider-aws#1029: the ECR API, STS or IMDS is not reachable; it is not IAM."""
    found = diagnose(
        "error execing credential provider plugin ecr-credential-provider for image x: context deadline exceeded"
    )
    assert found.known and "network" in found.explain().lower()


def test_a_minimal_node_role_pulls_from_public_anonymously():
    """amazon-eks-ami#1949: AccessDenied for the public token, and the pull goes on; the fix is two actions."""
    document = public_pull()
    assert isinstance(document, PolicyDocument)
    assert {"ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"} <= set(document.statements[0].actions)


def test_a_foreign_registry_is_named_and_a_token_is_not_asked_there():
    """goharbor/harbor#21635: without registryId a call acts in the caller's account; a token needs none."""
    with Registry.local(account="111111111111", region="us-west-2") as registry:
        token = registry.auth.tokens.for_image("222222222222.dkr.ecr.us-west-2.amazonaws.com/team/app")
        assert list(docker_config(["222222222222.dkr.ecr.us-west-2.amazonaws.com"], token).document["auths"])
    ref = ImageRef.parse("222222222222.dkr.ecr.us-west-2.amazonaws.com/team/app")
    assert ref.registry is not None and ref.registry.account == "222222222222"
