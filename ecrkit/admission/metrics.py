"""What the admission server counts, in the text format of Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ecrkit.admission.decisions import Decision
from ecrkit.errors import MissingExtra

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["AdmissionMetrics"]

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class AdmissionMetrics:
    """Counters and histograms of one server, in a registry of their own.

    Names: `ecrkit_admission_requests_total{protocol,status}`, `ecrkit_admission_request_seconds{protocol}`,
    `ecrkit_admission_decisions_total{outcome,allowed,answered}`, `ecrkit_admission_would_deny_total{outcome}` and
    `ecrkit_admission_cached_decisions`. Labels hold no image, namespace or anything else that a request chooses, so
    that no caller can make their number grow.

    Raises:
        MissingExtra: prometheus-client is not installed.

    Example:
        >>> metrics = AdmissionMetrics()
        >>> metrics.requested("kyverno", 200, 0.002)
        >>> b'protocol="kyverno",status="200"} 1.0' in metrics.text()
        True
    """

    def __init__(self) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        except ImportError:
            raise MissingExtra("prometheus-client", extra="admission") from None
        self.registry: CollectorRegistry = CollectorRegistry()
        self._requests = Counter(
            "ecrkit_admission_requests", "Requests answered", ["protocol", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "ecrkit_admission_request_seconds", "Seconds until a request was answered", ["protocol"],
            buckets=_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._decisions = Counter(
            "ecrkit_admission_decisions", "Decisions on images", ["outcome", "allowed", "answered"],
            registry=self.registry,
        )  # fmt: skip
        self._would_deny = Counter(
            "ecrkit_admission_would_deny", "Images admitted in audit mode that would have been denied", ["outcome"],
            registry=self.registry,
        )  # fmt: skip
        self._entries = Gauge(
            "ecrkit_admission_cached_decisions", "Decisions kept at this moment", registry=self.registry
        )

    def requested(self, protocol: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(protocol, str(status)).inc()
        self._seconds.labels(protocol).observe(seconds)

    def decided(self, decision: Decision, seconds: float) -> None:
        """Count a decision; an observer of `VerdictService`."""
        del seconds  # of a whole request, which `requested` measures
        self._decisions.labels(decision.outcome, str(decision.allowed).lower(), decision.answered).inc()
        if decision.would_deny:
            self._would_deny.labels(decision.outcome).inc()

    def text(self, *, entries: int = 0) -> bytes:
        """Return all of them as Prometheus reads them."""
        from prometheus_client import generate_latest

        self._entries.set(entries)
        return generate_latest(self.registry)
