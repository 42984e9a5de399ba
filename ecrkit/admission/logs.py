"""Structured logs: one JSON object a line, of named fields only, so that no header, body or credential gets in."""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
from typing import IO, Final

from typing_extensions import override

from ecrkit._internal.times import UTC
from ecrkit.admission.decisions import Decision

__all__ = ["JsonLines", "log_decision", "start_logging"]

LOGGER: Final = logging.getLogger("ecrkit.admission")

_FIELDS: Final = (
    "protocol", "status", "seconds", "uid", "image", "digest", "namespace", "profile", "outcome", "allowed",
    "would_deny", "answered", "reason", "vulnerabilities", "condition", "client", "port", "tls", "path",
)  # fmt: skip
_LONGEST: Final = 2000


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: time, level, event, and those fields that are known here.

    A fault adds its type and the place it came from, and not its text: the text of a foreign error may quote a secret.
    """

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = dt.datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        body: dict[str, object] = {"time": at, "level": record.levelname.lower(), "event": record.getMessage()}
        for name in _FIELDS:
            value = record.__dict__.get(name)
            if value is not None:
                body[name] = value[:_LONGEST] if isinstance(value, str) else value
        if record.exc_info and record.exc_info[0] is not None:
            body["fault"] = record.exc_info[0].__name__
            trace = record.exc_info[2]
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            if trace is not None:
                body["at"] = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
        return json.dumps(body, ensure_ascii=True, default=str)


def start_logging(stream: IO[str] | None = None, *, level: int = logging.INFO) -> logging.Handler:
    """Send the log of admission to the stream (by default standard error) as JSON lines; return its handler."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonLines())
    LOGGER.addHandler(handler)
    LOGGER.setLevel(level)
    LOGGER.propagate = False
    return handler


def log_decision(decision: Decision, seconds: float) -> None:
    """Write a decision to the log: refusals and would-be refusals as warnings; an observer of `VerdictService`."""
    refused = not decision.allowed or decision.would_deny
    LOGGER.log(
        logging.WARNING if refused else logging.INFO,
        "would deny" if decision.would_deny else "denied" if not decision.allowed else "allowed",
        extra={
            "image": decision.image, "digest": decision.digest, "namespace": decision.namespace,
            "profile": decision.profile, "outcome": decision.outcome, "allowed": decision.allowed,
            "would_deny": decision.would_deny, "answered": decision.answered, "reason": decision.reason or None,
            "vulnerabilities": list(decision.vulnerabilities) or None, "seconds": round(seconds, 6),
        },
    )  # fmt: skip
