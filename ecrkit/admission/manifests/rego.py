"""The policy that Gatekeeper runs, in both versions of Rego: the same sentences, so that both say the same.

What it makes sure of, beyond asking the server:

- An image without an answer is refused, whatever went wrong on the way: Gatekeeper leaves out a key that the
  provider leaves out, and OPA goes on with nothing where a function fails.
- Only an answer that says `allowed: true` admits. Neither the status code nor the order of the answers counts:
  Gatekeeper gives 0 when all of them come from its cache.
- An update is judged on the images it brings in. A pod that runs must stay changeable, or controllers could not take
  their finalizers off it (kyverno/kyverno#8815), and nobody could scale it down.
- A kind without a known Pod template, and a container without an image, are refused. What may be absent is asked
  for in rules of their own: OPA evaluates `not is_string(c.image)` to nothing when there is no image.

Sources: Gatekeeper documentation, "External Data" and "Constraint Templates"; open-policy-agent/frameworks.
"""

from __future__ import annotations

import json
from typing import Final

__all__ = ["rego_v0", "rego_v1"]

_HEAD: Final = """\
# Written by ecrkit: may the images of this object run? The admission server is asked once for all of them.
package ecrkit.admission
"""

_V1: Final = (
    _HEAD
    + """
default profile := ""

profile := input.parameters.profile if is_string(input.parameters.profile)

default namespace := ""

namespace := input.review.namespace if {
	is_string(input.review.namespace)
	input.review.namespace != ""
} else := input.review.object.metadata.namespace if is_string(input.review.object.metadata.namespace)

judged if not input.review.operation == "DELETE"

templates := {"PodTemplate", "ReplicationController", "ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job"}

pod_spec(object) := object.spec if input.review.kind.kind == "Pod"

pod_spec(object) := object.template.spec if input.review.kind.kind == "PodTemplate"

pod_spec(object) := object.spec.template.spec if {
	input.review.kind.kind in templates
	input.review.kind.kind != "PodTemplate"
}

pod_spec(object) := object.spec.jobTemplate.spec.template.spec if input.review.kind.kind == "CronJob"

containers(object) := [c |
	some field in ["containers", "initContainers", "ephemeralContainers"]
	some c in pod_spec(object)[field]
]

images(object) := {c.image |
	some c in containers(object)
	is_string(c.image)
}

before := images(input.review.oldObject) if {
	input.review.operation == "UPDATE"
	is_object(input.review.oldObject)
} else := set()

asked := images(input.review.object) - before

key(image) := @KEY@

answer := external_data({"provider": @PROVIDER@, "keys": [key(image) | some image in asked]}) if count(asked) > 0

answered := {response[0] | some response in answer.responses} | {failure[0] | some failure in answer.errors}

allowed(value) if value.allowed == true

has_image(c) if is_string(c.image)

has_template if is_object(pod_spec(input.review.object))

reason(image, value) := value.reason if {
	is_string(value.reason)
} else := sprintf("%s: refused without a reason", [image])

violation contains {"msg": msg, "details": {"image": image}} if {
	judged
	some image in asked
	some response in answer.responses
	response[0] == key(image)
	not allowed(response[1])
	msg := reason(image, response[1])
}

violation contains {"msg": msg, "details": {"image": image}} if {
	judged
	some image in asked
	some failure in answer.errors
	failure[0] == key(image)
	msg := sprintf("%s: %v", [image, failure[1]])
}

violation contains {"msg": msg, "details": {"image": image}} if {
	judged
	some image in asked
	not key(image) in answered
	msg := sprintf("%s: no answer from the admission server", [image])
}

violation contains {"msg": msg, "details": {}} if {
	judged
	answer.system_error != ""
	msg := sprintf("the admission server cannot be asked: %v", [answer.system_error])
}

violation contains {"msg": msg, "details": {}} if {
	judged
	not has_template
	msg := sprintf("no Pod template is found in this %v", [input.review.kind.kind])
}

violation contains {"msg": msg, "details": {}} if {
	judged
	some c in containers(input.review.object)
	not has_image(c)
	msg := "a container names no image"
}
"""
)

_V0: Final = (
    _HEAD
    + """
default profile = ""

profile = input.parameters.profile {
	is_string(input.parameters.profile)
}

default namespace = ""

namespace = input.review.namespace {
	is_string(input.review.namespace)
	input.review.namespace != ""
} else = input.review.object.metadata.namespace {
	is_string(input.review.object.metadata.namespace)
}

judged {
	not input.review.operation == "DELETE"
}

templates = {"ReplicationController", "ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job"}

pod_spec(object) = object.spec {
	input.review.kind.kind == "Pod"
}

pod_spec(object) = object.template.spec {
	input.review.kind.kind == "PodTemplate"
}

pod_spec(object) = object.spec.template.spec {
	templates[input.review.kind.kind]
}

pod_spec(object) = object.spec.jobTemplate.spec.template.spec {
	input.review.kind.kind == "CronJob"
}

fields = ["containers", "initContainers", "ephemeralContainers"]

containers(object) = [c |
	field := fields[_]
	c := pod_spec(object)[field][_]
]

images(object) = {image |
	c := containers(object)[_]
	image := c.image
	is_string(image)
}

before = images(input.review.oldObject) {
	input.review.operation == "UPDATE"
	is_object(input.review.oldObject)
} else = set()

asked = images(input.review.object) - before

key(image) = @KEY@

answer = external_data({"provider": @PROVIDER@, "keys": [key(image) | image := asked[_]]}) {
	count(asked) > 0
}

answered = {k | k := answer.responses[_][0]} | {k | k := answer.errors[_][0]}

allowed(value) {
	value.allowed == true
}

has_image(c) {
	is_string(c.image)
}

has_template {
	is_object(pod_spec(input.review.object))
}

reason(image, value) = value.reason {
	is_string(value.reason)
} else = sprintf("%s: refused without a reason", [image])

violation[{"msg": msg, "details": {"image": image}}] {
	judged
	image := asked[_]
	response := answer.responses[_]
	response[0] == key(image)
	not allowed(response[1])
	msg := reason(image, response[1])
}

violation[{"msg": msg, "details": {"image": image}}] {
	judged
	image := asked[_]
	failure := answer.errors[_]
	failure[0] == key(image)
	msg := sprintf("%s: %v", [image, failure[1]])
}

violation[{"msg": msg, "details": {"image": image}}] {
	judged
	image := asked[_]
	not answered[key(image)]
	msg := sprintf("%s: no answer from the admission server", [image])
}

violation[{"msg": msg, "details": {}}] {
	judged
	answer.system_error != ""
	msg := sprintf("the admission server cannot be asked: %v", [answer.system_error])
}

violation[{"msg": msg, "details": {}}] {
	judged
	not has_template
	msg := sprintf("no Pod template is found in this %v", [input.review.kind.kind])
}

violation[{"msg": msg, "details": {}}] {
	judged
	c := containers(input.review.object)[_]
	not has_image(c)
	msg := "a container names no image"
}
"""
)
# All three parts, whatever is empty: an image text with a bar in it then makes four, which the server refuses.
_KEY: Final = 'concat("|", [profile, namespace, image])'


def _filled(text: str, provider: str) -> str:
    return text.replace("@KEY@", _KEY).replace("@PROVIDER@", json.dumps(provider)).replace("\t", "  ")


def rego_v0(provider: str) -> str:
    """Return the policy in Rego v0, for every Gatekeeper with external data."""
    return _filled(_V0, provider)


def rego_v1(provider: str) -> str:
    """Return the policy in Rego v1, for Gatekeeper 3.19 and later."""
    return _filled(_V1, provider)
