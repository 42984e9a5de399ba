"""The paths of the server that the manifests name."""

from __future__ import annotations

from typing import Final

__all__ = ["ADMIT_PATH", "GATEKEEPER_PATH", "KYVERNO_PATH", "LIVE_PATH", "READY_PATH"]

GATEKEEPER_PATH: Final = "/v1/gatekeeper"
KYVERNO_PATH: Final = "/v1/kyverno"
ADMIT_PATH: Final = "/v1/admit"
LIVE_PATH: Final = "/livez"
READY_PATH: Final = "/readyz"
