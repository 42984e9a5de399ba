"""Admission: the verdict on scan findings at the cluster's door, for Gatekeeper, Kyverno and plain webhooks.

`VerdictService` answers whether images may run; `application` puts the three protocols over it as a WSGI application,
`python -m ecrkit.admission` serves that over TLS, and `replay` judges what runs already.
"""

from ecrkit.admission.conditions import (
    CONDITION_NAMES,
    SIGNATURE_TYPES,
    AskedCondition,
    Condition,
    ConditionAnswer,
    NotArchived,
    Signed,
    from_answer,
)
from ecrkit.admission.decisions import Answered, Decision, DecisionOutcome, Mode, OutsidePolicy, Question
from ecrkit.admission.profiles import AdmissionProfile, AdmissionProfiles
from ecrkit.admission.references import NamedImage, named_image
from ecrkit.admission.service import Lifetimes, ServiceLimits, VerdictService
from ecrkit.admission.sources import FindingsOf, RegistryFindings, SavedFindings

__all__ = [
    "CONDITION_NAMES",
    "SIGNATURE_TYPES",
    "AdmissionProfile",
    "AdmissionProfiles",
    "Answered",
    "AskedCondition",
    "Condition",
    "ConditionAnswer",
    "Decision",
    "DecisionOutcome",
    "FindingsOf",
    "Lifetimes",
    "Mode",
    "NamedImage",
    "NotArchived",
    "OutsidePolicy",
    "Question",
    "RegistryFindings",
    "SavedFindings",
    "ServiceLimits",
    "Signed",
    "VerdictService",
    "from_answer",
    "named_image",
]
