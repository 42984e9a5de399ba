"""Admission: the verdict on scan findings at the cluster's door, for Gatekeeper, Kyverno and plain webhooks.

`VerdictService` answers whether images may run; `application` puts the three protocols over it as a WSGI application,
`python -m ecrkit.admission` serves that over TLS, and `replay` judges what runs already.
"""

from ecrkit.admission.bases import BaseFresh, load_base_report
from ecrkit.admission.conditions import (
    CONDITION_NAMES,
    SIGNATURE_TYPES,
    AskedCondition,
    Condition,
    ConditionAnswer,
    EitherSigned,
    NotArchived,
    Provenance,
    Signed,
    SignedByEcr,
    from_answer,
)
from ecrkit.admission.configuration import (
    AdmissionConfiguration,
    SignedBy,
    admission_configuration,
    load_admission_configuration,
)
from ecrkit.admission.decisions import Answered, Decision, DecisionOutcome, Mode, OutsidePolicy, Question
from ecrkit.admission.metrics import AdmissionMetrics
from ecrkit.admission.profiles import AdmissionProfile, AdmissionProfiles
from ecrkit.admission.references import NamedImage, named_image
from ecrkit.admission.replay import Replay, Replayed, replay
from ecrkit.admission.server import AdmissionServer, ServerOptions
from ecrkit.admission.service import Lifetimes, ServiceLimits, VerdictService
from ecrkit.admission.sources import FindingsOf, RegistryFindings, SavedFindings
from ecrkit.admission.tls import TlsFiles
from ecrkit.admission.wsgi import CLIENT_CERTIFICATE, Application, application

__all__ = [
    "CLIENT_CERTIFICATE",
    "CONDITION_NAMES",
    "SIGNATURE_TYPES",
    "AdmissionConfiguration",
    "AdmissionMetrics",
    "AdmissionProfile",
    "AdmissionProfiles",
    "AdmissionServer",
    "Answered",
    "Application",
    "AskedCondition",
    "BaseFresh",
    "Condition",
    "ConditionAnswer",
    "Decision",
    "DecisionOutcome",
    "EitherSigned",
    "FindingsOf",
    "Lifetimes",
    "Mode",
    "NamedImage",
    "NotArchived",
    "OutsidePolicy",
    "Provenance",
    "Question",
    "RegistryFindings",
    "Replay",
    "Replayed",
    "SavedFindings",
    "ServerOptions",
    "ServiceLimits",
    "Signed",
    "SignedBy",
    "SignedByEcr",
    "TlsFiles",
    "VerdictService",
    "admission_configuration",
    "application",
    "from_answer",
    "load_admission_configuration",
    "load_base_report",
    "named_image",
    "replay",
]
