"""Every error that ecrkit raises on purpose, in one tree.

```
EcrkitError
├── InvalidInput (ValueError)         bad reference, policy, manifest or file; found before any call; .problems
│   ├── InvalidReference              a text that is no image reference, repository name, tag or digest
│   ├── InvalidManifest               bytes that are no manifest of a known kind
│   └── InvalidPolicy                 a policy document; lifecycle.LifecyclePolicyError is one
├── AwsCallFailed                     AWS refused or failed a call; .service .operation .code .request_id
│   ├── NotFound                      repository, image, policy, scan ... does not exist
│   ├── Denied                        not allowed; .action names the missing IAM action
│   ├── CredentialsMissing            no usable credentials, or an expired token
│   ├── Throttled                     still throttled after the configured attempts
│   ├── QuotaExceeded                 a hard limit; a retry cannot help
│   ├── Conflict                      exists already, immutable, in use, or changed meanwhile
│   ├── Rejected                      AWS calls the request invalid
│   └── Unavailable                   5xx, connection or time-out after the configured attempts
├── NotSupportedByBotocore            the installed botocore has no such operation or member
├── WaitExpired (TimeoutError)        a waiter's deadline passed; .last is the last state seen
├── WaitFailed                        what was waited for ended badly; .last is the final state
├── PlanRefused                       a plan would do what the caller forbade; .conflicts
├── PlanOutdated                      what a plan rests on has changed since; .changes
├── GateRefused                       a gate does not let an image through; .verdict
└── MissingExtra (ImportError)        an optional dependency is not installed; the message names the extra
```

Errors carry facts as attributes, keep the AWS error as `__cause__`, and survive pickling.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import attrs
from typing_extensions import override

__all__ = [
    "AwsCallFailed",
    "Conflict",
    "CredentialsMissing",
    "Denied",
    "EcrkitError",
    "GateRefused",
    "InvalidInput",
    "InvalidManifest",
    "InvalidPolicy",
    "InvalidReference",
    "MissingExtra",
    "NotFound",
    "NotSupportedByBotocore",
    "PlanOutdated",
    "PlanRefused",
    "Problem",
    "QuotaExceeded",
    "Rejected",
    "Throttled",
    "Unavailable",
    "WaitExpired",
    "WaitFailed",
]


@attrs.frozen
class Problem:
    """One thing that is wrong with an input, and where.

    `path` is a JSON path such as `$.rules[1].selection.countNumber`, or a file and line; `message` says what is
    wrong and what to do; `quoted` is the text AWS itself answers, where it is known.

    Example:
        >>> print(Problem("$.rules[0].rulePriority", "must be an integer of at least 1"))
        $.rules[0].rulePriority: must be an integer of at least 1
    """

    path: str
    message: str
    quoted: str | None = attrs.field(default=None, kw_only=True)

    @override
    def __str__(self) -> str:
        return f"{self.path}: {self.message}"

    def to_dict(self) -> dict[str, str | None]:
        """Return the three fields as a JSON-ready mapping."""
        return {"path": self.path, "message": self.message, "quoted": self.quoted}


def _rebuild(cls: type[EcrkitError], args: tuple[Any, ...], state: dict[str, Any]) -> EcrkitError:
    # Exceptions with keyword-only arguments do not unpickle by calling cls(*args): multiprocessing would lose them.
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class EcrkitError(Exception):
    """Root of every error that ecrkit raises on purpose."""

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


class InvalidInput(EcrkitError, ValueError):
    """An input is wrong; `problems` lists everything that is wrong with it, in document order."""

    problems: tuple[Problem, ...]

    def __init__(self, what: str, problems: Iterable[Problem] = ()) -> None:
        self.problems = tuple(problems)
        self.what = what
        super().__init__(_listing(what, self.problems))

    @classmethod
    def single(cls, what: str, path: str, message: str) -> Self:
        """Return the error for exactly one problem."""
        return cls(what, [Problem(path, message)])


def _listing(what: str, problems: Sequence[Problem]) -> str:
    if not problems:
        return what
    if len(problems) == 1:
        return f"{what}: {problems[0]}"
    lines = "\n".join(f"  - {p}" for p in problems)
    return f"{what}: {len(problems)} problems\n{lines}"


class InvalidReference(InvalidInput):
    """A text is no image reference, repository name, tag, digest or registry host."""


class InvalidManifest(InvalidInput):
    """Bytes are no image manifest or index of a known kind."""


class InvalidPolicy(InvalidInput):
    """A policy document is invalid."""


class AwsCallFailed(EcrkitError):
    """AWS refused or failed a call; the botocore error is the `__cause__`."""

    def __init__(
        self,
        message: str,
        *,
        operation: str,
        code: str = "",
        service: str = "ecr",
        request_id: str | None = None,
        resource: str | None = None,
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.code = code
        self.service = service
        self.request_id = request_id
        self.resource = resource


class NotFound(AwsCallFailed):
    """What the call names does not exist; `code` says which kind of thing."""


class Denied(AwsCallFailed):
    """The caller may not do this; `action` names the IAM action that was refused, when AWS or the call says it."""

    action: str | None = None


class CredentialsMissing(AwsCallFailed):
    """There are no usable credentials: none found, or an expired or unknown token."""


class Throttled(AwsCallFailed):
    """AWS still throttled the call after every configured attempt."""


class QuotaExceeded(AwsCallFailed):
    """A hard quota is reached; repeating the call cannot help."""


class Conflict(AwsCallFailed):
    """The thing exists already, is immutable, is in use, or changed while the call ran."""


class Rejected(AwsCallFailed):
    """AWS calls the request invalid."""


class Unavailable(AwsCallFailed):
    """The service failed or could not be reached, after every configured attempt."""


class NotSupportedByBotocore(EcrkitError):
    """The installed botocore does not know an operation or member that the request needs."""

    def __init__(self, what: str, *, installed: str) -> None:
        super().__init__(f"botocore {installed} does not know {what}; install a newer botocore")
        self.what = what
        self.installed = installed


class WaitExpired(EcrkitError, TimeoutError):
    """A waiter's deadline passed; `last` is the last state seen."""

    def __init__(self, message: str, *, last: object = None) -> None:
        super().__init__(message)
        self.last = last


class WaitFailed(EcrkitError):
    """What was waited for ended badly; `last` is its final state."""

    def __init__(self, message: str, *, last: object = None) -> None:
        super().__init__(message)
        self.last = last


class PlanRefused(EcrkitError):
    """A plan would do what the caller forbade; `conflicts` names each image or resource concerned."""

    def __init__(self, message: str, *, conflicts: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.conflicts = tuple(conflicts)


class PlanOutdated(EcrkitError):
    """What a plan rests on has changed since it was made; `changes` says how. Nothing was done."""

    def __init__(self, message: str, *, changes: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.changes = tuple(changes)


class GateRefused(EcrkitError):
    """A gate does not let an image through; `verdict` holds every reason, and says fail or undetermined.

    Raised by `require()` of a verdict only: to judge is no error, whatever comes of it.
    """

    def __init__(self, message: str, *, verdict: Any) -> None:
        super().__init__(message)
        # Any: verdicts are of domains above this module, such as ecrkit.scanning.Verdict.
        self.verdict = verdict


class MissingExtra(EcrkitError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, *, extra: str) -> None:
        super().__init__(f"this needs {package}, which is not installed: pip install 'ecrkit[{extra}]'")
        self.package = package
        self.extra = extra
