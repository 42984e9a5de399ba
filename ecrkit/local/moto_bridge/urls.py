"""The addresses of the ECR API, in the form in which moto looks them up beside a backend's module."""

from __future__ import annotations

from ecrkit.local.moto_bridge.models import dispatch

__all__ = ["url_bases", "url_paths"]

url_bases = [
    r"https?://ecr\.(.+)\.amazonaws\.com",
    r"https?://api\.ecr\.(.+)\.amazonaws\.com",
]

url_paths = {"{0}/$": dispatch}
