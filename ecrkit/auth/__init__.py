"""Registry tokens and the documents that carry them, each with when it stops working and what to use instead.

`TokenProvider` keeps a token for each Region fresh. `docker_config`, `image_pull_secret`, `cred_helpers`,
`credential_provider_config`, `ecr_external_secret`, `flux_source` and `image_updater_registries` build documents;
`check_credential_provider_config`, `lint_image_updater` and `pull_secret_state` look at existing ones. Nothing here
prints, logs or pickles a token.
"""

from __future__ import annotations

from ecrkit.auth.config_file import update_docker_config
from ecrkit.auth.credential_provider import ServiceAccountTokens, credential_provider_config, default_patterns
from ecrkit.auth.docker_config import MergeReport, cred_helpers, docker_config, merge_docker_config
from ecrkit.auth.external_secrets import ExternalPullSecret, GeneratorIdentity, ecr_external_secret
from ecrkit.auth.flux import flux_source
from ecrkit.auth.hosts import host_forms
from ecrkit.auth.image_updater import (
    credential_script,
    image_updater_registries,
    image_updater_secret,
    lint_image_updater,
)
from ecrkit.auth.manifests import Advice, Manifest
from ecrkit.auth.match_images import match_image, unmatched
from ecrkit.auth.provider import TokenProvider, TokenSource
from ecrkit.auth.provider_check import ConfigCheck, Finding, check_credential_provider_config
from ecrkit.auth.pull_secrets import PullSecretState, image_pull_secret, pull_secret_state
from ecrkit.auth.secret import Secret
from ecrkit.auth.service import AuthService
from ecrkit.auth.tokens import Token, TokenScope

__all__ = [
    "Advice",
    "AuthService",
    "ConfigCheck",
    "ExternalPullSecret",
    "Finding",
    "GeneratorIdentity",
    "Manifest",
    "MergeReport",
    "PullSecretState",
    "Secret",
    "ServiceAccountTokens",
    "Token",
    "TokenProvider",
    "TokenScope",
    "TokenSource",
    "check_credential_provider_config",
    "cred_helpers",
    "credential_provider_config",
    "credential_script",
    "default_patterns",
    "docker_config",
    "ecr_external_secret",
    "flux_source",
    "host_forms",
    "image_pull_secret",
    "image_updater_registries",
    "image_updater_secret",
    "lint_image_updater",
    "match_image",
    "merge_docker_config",
    "pull_secret_state",
    "unmatched",
    "update_docker_config",
]
