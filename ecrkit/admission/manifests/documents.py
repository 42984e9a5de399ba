"""What every builder here returns: Kubernetes objects in the order to apply them, as mappings, JSON or YAML."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from typing_extensions import override

from ecrkit.admission.manifests._yaml import yaml_text
from ecrkit.errors import InvalidInput, Problem

__all__ = ["Manifests"]


class Manifests:
    """Kubernetes objects in the order to apply them, and what a reader should know beside them.

    `notes` name what the objects rest on: settings of Gatekeeper or Kyverno, a policy to attach, a deadline. Two
    lots are joined with `+`; an object that both hold is kept once, and two that differ under one name are refused.

    Example:
        >>> from ecrkit.admission.manifests import service
        >>> made = service(name="ecrkit-admission", namespace="ecrkit-system")
        >>> made.of("Service")["spec"]["type"]
        'ClusterIP'
        >>> print(made.to_yaml()[:24])
        apiVersion: v1
        kind: Ser
    """

    __slots__ = ("__documents", "notes")

    def __init__(self, documents: Iterable[Mapping[str, Any]], *, notes: Iterable[str] = ()) -> None:
        self.__documents = tuple(copy.deepcopy(dict(d)) for d in documents)
        self.notes = tuple(dict.fromkeys(notes))

    @property
    def documents(self) -> tuple[dict[str, Any], ...]:
        """The objects, new copies each time."""
        return copy.deepcopy(self.__documents)

    def of(self, kind: str, name: str | None = None) -> dict[str, Any]:
        """Return the one object of a kind, or of a kind and name.

        Raises:
            InvalidInput: there is none, or more than one.
        """
        found = [d for d in self.documents if d["kind"] == kind and name in {None, d["metadata"]["name"]}]
        if len(found) != 1:
            there = ", ".join(f"{d['kind']}/{d['metadata']['name']}" for d in self.__documents)
            raise InvalidInput.single("not one object", kind, f"{len(found)} of them; there are {there or 'none'}")
        return found[0]

    def to_dict(self) -> dict[str, Any]:
        """Return the objects as one Kubernetes `List`, which `kubectl apply` takes."""
        return {"apiVersion": "v1", "kind": "List", "items": list(self.documents)}

    def to_json(self, *, indent: int | None = 2) -> str:
        """Return the `List` as JSON text."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    def to_yaml(self) -> str:
        """Return the objects as YAML text, one document each; programs and policies stand in it line by line."""
        return "---\n".join(yaml_text(d) for d in self.__documents)

    def __add__(self, other: Manifests) -> Manifests:
        seen: dict[tuple[str, str, str], dict[str, Any]] = {}
        problems: list[Problem] = []
        for document in (*self.__documents, *other.__documents):
            about = document["metadata"]
            key = (document["kind"], about.get("namespace", ""), about["name"])
            if seen.setdefault(key, document) != document:
                problems.append(Problem("/".join(filter(None, key)), "is in both, and differs"))
        if problems:
            raise InvalidInput("manifests that contradict each other", problems)
        return Manifests(seen.values(), notes=(*self.notes, *other.notes))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.documents)

    def __len__(self) -> int:
        return len(self.__documents)

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Manifests):
            return NotImplemented
        return self.__documents == other.__documents and self.notes == other.notes

    @override
    def __hash__(self) -> int:
        return hash((self.to_json(indent=None), self.notes))

    @override
    def __repr__(self) -> str:
        return f"<Manifests of {', '.join(d['kind'] + '/' + d['metadata']['name'] for d in self.__documents)}>"
