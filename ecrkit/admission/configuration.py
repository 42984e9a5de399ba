"""The configuration of an admission server from TOML or JSON, with every problem named."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, cast

import attrs

from ecrkit.admission.bases import load_base_report
from ecrkit.admission.conditions import CONDITION_NAMES
from ecrkit.admission.decisions import Mode, OutsidePolicy
from ecrkit.admission.profiles import AdmissionProfile, AdmissionProfiles
from ecrkit.admission.server import ServerOptions
from ecrkit.admission.service import Lifetimes, ServiceLimits
from ecrkit.errors import InvalidInput, InvalidPolicy, Problem
from ecrkit.images.bases import BaseReport
from ecrkit.scanning._documents import Checker, document, load_text
from ecrkit.scanning.exemptions import Exemptions
from ecrkit.scanning.gate import Gate
from ecrkit.scanning.policy_files import gate_from
from ecrkit.scanning.vex import VexStatements

__all__ = ["AdmissionConfiguration", "SignedBy", "admission_configuration", "load_admission_configuration"]

_WHAT: Final = "not a configuration of admission"
_TOP: Final = (
    "bases", "certified", "deadline_seconds", "lifetimes", "limits", "mode", "outside", "profiles", "region",
    "registry_id", "server", "signed", "version",
)  # fmt: skip
_PROFILE: Final = (
    "conditions", "exemptions", "gate", "mode", "name", "namespaces", "outside", "platforms", "repositories", "vex",
)  # fmt: skip
_LIMITS: Final = ("body_bytes", "entries", "queue", "workers")
_LIFETIMES: Final = tuple(f.name for f in attrs.fields(Lifetimes))
_SERVER: Final = tuple(f.name for f in attrs.fields(ServerOptions))
_PROTOCOLS: Final = ("admit", "gatekeeper", "kyverno")
SignedBy = Literal["referrer", "status", "either"]
"""How it is told that an image is signed: a signature is stored for it, ECR says that it signed it, or one of both."""

_SIGNED_BY: Final = ("referrer", "status", "either")
_MODES: Final = ("enforce", "audit")
_OUTSIDE: Final = ("deny", "allow", "skip")


@attrs.frozen(kw_only=True)
class AdmissionConfiguration:
    """Everything that a configuration says; `registry.admission` and the server take it.

    `certified` names the protocols that need a client certificate once the server has a client CA. `signed` says what
    answers the condition of that name, and `bases` what answers `base-fresh`.
    """

    profiles: AdmissionProfiles
    mode: Mode = "enforce"
    deadline: float = 2.0
    lifetimes: Lifetimes = attrs.field(factory=Lifetimes)
    limits: ServiceLimits = attrs.field(factory=ServiceLimits)
    body_bytes: int = 3 * 1024 * 1024
    certified: frozenset[str] = frozenset(_PROTOCOLS)
    server: ServerOptions = attrs.field(factory=ServerOptions)
    region: str | None = None
    registry_id: str | None = None
    signed: SignedBy = "referrer"
    bases: BaseReport | None = None

    @property
    def conditions(self) -> tuple[str, ...]:
        """The names of the conditions that any profile asks for."""
        return tuple(dict.fromkeys(c for p in self.profiles.entries for c in p.conditions))


def load_admission_configuration(path: str | os.PathLike[str]) -> AdmissionConfiguration:
    """Return the configuration of a TOML or JSON file; files it names are found beside it.

    Raises:
        InvalidPolicy: the file is faulty; all its problems are named.
        OSError: the file cannot be read.
    """
    return admission_configuration(load_text(path), folder=Path(path).parent)


def admission_configuration(
    source: str | Mapping[str, Any], *, folder: str | os.PathLike[str] = "."
) -> AdmissionConfiguration:
    """Return the configuration of a TOML or JSON text, or its mapping.

    `profiles` is a list of objects with `name`, `gate` (as `scanning.gate_from` takes it), the patterns `namespaces`
    and `repositories`, `mode`, `outside`, `conditions`, `platforms`, and names of files `exemptions` and `vex`. `mode`
    and `outside` at the top are the default of all profiles. Beside them: `deadline_seconds`, `lifetimes`, `limits`
    (entries, workers, queue, body_bytes), `server` (host, port, threads ...), `certified`, `region`, `registry_id`;
    `signed` says whether the condition of that name asks for a stored signature (`referrer`), the `status` of managed
    signing, or `either`; `bases` names the JSON file of a `images.BaseReport`, which `base-fresh` needs.

    Raises:
        InvalidPolicy: something is wrong; every problem is named with its path. Unknown keys are refused.

    Example:
        >>> made = admission_configuration('''
        ... outside = "skip"
        ... [[profiles]]
        ... name = "prod"
        ... namespaces = ["prod-*"]
        ... gate = {limits = {CRITICAL = 0}}
        ... ''')
        >>> made.profiles.entries[0].outside
        'skip'
    """
    check = Checker(_WHAT)
    raw = document(source, _WHAT)
    check.only(raw, _TOP, "$")
    if raw.get("version", 1) != 1:
        check.problem("$.version", f"must be 1, not {raw.get('version')!r:.20}")
    mode = cast("Mode", check.choice(raw, "mode", "$", of=_MODES, default="enforce"))
    outside = cast("OutsidePolicy", check.choice(raw, "outside", "$", of=_OUTSIDE, default="deny"))
    made = [
        _profile(check, entry, f"$.profiles[{number}]", outside, Path(folder))
        for number, entry in enumerate(check.items(raw.get("profiles"), "$.profiles"))
    ]
    profiles = _adopt(check, "$", lambda: AdmissionProfiles([p for p in made if p is not None]), unless=None in made)
    limits = check.mapping(raw.get("limits"), "$.limits")
    check.only(limits, _LIMITS, "$.limits")
    body = check.whole(limits, "body_bytes", "$.limits", default=3 * 1024 * 1024)
    if not body:
        check.problem("$.limits.body_bytes", "must be at least 1")
    bounds = {k: v for k, v in limits.items() if k in _LIMITS and k != "body_bytes"}
    certified = check.texts(raw, "certified", "$") if raw.get("certified") != [] else ()
    for name in set(certified) - set(_PROTOCOLS):
        check.problem("$.certified", f"{name!r:.40} is none of {', '.join(_PROTOCOLS)}")
    deadline = raw.get("deadline_seconds", 2.0)
    if isinstance(deadline, bool) or not isinstance(deadline, int | float) or not 0 < deadline <= 30:
        check.problem("$.deadline_seconds", f"must be a number of seconds above 0 and up to 30, not {deadline!r:.40}")
    more = {
        "lifetimes": _options(check, raw, "lifetimes", _LIFETIMES, Lifetimes),
        "limits": _adopt(check, "$.limits", lambda: ServiceLimits(**bounds)),
        "server": _options(check, raw, "server", _SERVER, ServerOptions),
        "region": check.text(raw, "region", "$"),
        "registry_id": check.text(raw, "registry_id", "$"),
    }
    bases_file = check.text(raw, "bases", "$")
    bases: BaseReport | None = _adopt(
        check, "$.bases", lambda: load_base_report(Path(folder) / str(bases_file)), unless=bases_file is None
    )
    signed = cast("SignedBy", check.choice(raw, "signed", "$", of=_SIGNED_BY, default="referrer"))
    check.check()
    return AdmissionConfiguration(
        profiles=cast("AdmissionProfiles", profiles),
        mode=mode,
        deadline=float(cast("float", deadline)),
        body_bytes=body or 1,
        signed=signed,
        bases=bases,
        certified=frozenset(certified if "certified" in raw else _PROTOCOLS),
        **more,
    )


def _options(check: Checker, raw: Mapping[str, Any], name: str, known: tuple[str, ...], make: Any) -> Any:
    """Return the record of a table of numbers and texts, with the record's own checks."""
    table = check.mapping(raw.get(name), f"$.{name}")
    check.only(table, known, f"$.{name}")
    kinds = {f.name: (str,) if f.name == "host" else (int,) if f.default.__class__ is int else (int, float)
             for f in attrs.fields(make)}  # fmt: skip
    good: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            continue
        if isinstance(value, bool) or not isinstance(value, kinds[key]):
            check.problem(f"$.{name}.{key}", f"must be a {'text' if key == 'host' else 'number'}, not {value!r:.40}")
        else:
            good[key] = value
    return _adopt(check, f"$.{name}", lambda: make(**good))


def _profile(check: Checker, entry: object, path: str, outside: OutsidePolicy, folder: Path) -> AdmissionProfile | None:
    before = len(check.problems)
    raw = check.mapping(entry, path)
    check.only(raw, _PROFILE, path)
    name = check.text(raw, "name", path, required=True)
    if name is not None and "|" in name:
        check.problem(f"{path}.name", "must not hold a |, which parts the keys of Gatekeeper")
    if raw.get("gate") is None:
        check.problem(f"{path}.gate", "is missing")
    gate: Gate | None = _adopt(
        check, f"{path}.gate", lambda: gate_from(check.mapping(raw.get("gate"), f"{path}.gate")),
        unless=not isinstance(raw.get("gate"), Mapping),
    )  # fmt: skip
    if raw.get("gate") is not None and not isinstance(raw.get("gate"), Mapping):
        check.problem(f"{path}.gate", "must be an object")
    conditions = check.texts(raw, "conditions", path)
    for condition in conditions:
        if condition not in CONDITION_NAMES:
            check.problem(f"{path}.conditions", f"{condition!r:.40} is none of {', '.join(CONDITION_NAMES)}")
    lists = {k: check.texts(raw, k, path) for k in ("namespaces", "repositories", "platforms")}
    mode = cast("Mode", check.choice(raw, "mode", path, of=_MODES, default="enforce"))
    own = cast("OutsidePolicy", check.choice(raw, "outside", path, of=_OUTSIDE, default=outside))
    files = {k: [folder / f for f in check.texts(raw, k, path)] for k in ("exemptions", "vex")}
    exemptions = _adopt(check, f"{path}.exemptions", lambda: Exemptions.load(*files["exemptions"]))
    vex = _adopt(check, f"{path}.vex", lambda: VexStatements.load(*files["vex"]))
    if name is None or gate is None or len(check.problems) > before:
        return None
    return AdmissionProfile(
        name=name, gate=gate, mode=mode, outside=own, conditions=conditions, exemptions=exemptions, vex=vex, **lists
    )


def _adopt(check: Checker, path: str, make: Any, *, unless: bool = False) -> Any:
    """Return what `make` makes, or add its problems under the path."""
    if unless:
        return None
    try:
        return make()
    except InvalidInput as fault:
        found = fault.problems or (Problem("$", str(fault)),)
        check.problems.extend(Problem(path + p.path.removeprefix("$").replace("$", "", 1), p.message) for p in found)
    except OSError as fault:
        check.problem(path, f"cannot be read: {fault}")
    except TypeError as fault:
        raise InvalidPolicy.single(_WHAT, path, str(fault)) from None
    return None
