"""Files that name images, found and rewritten in place: Kubernetes, Kustomize, Helm values, Dockerfiles."""

from ecrkit.deployments.files.folder import FilePlan, FolderPlan, Skipped, plan_folder
from ecrkit.deployments.files.places import Place, Refused
from ecrkit.deployments.files.rewriting import Change, ChangeReference, Rewritten, kind_of_file, places_in, rewrite_text

__all__ = [
    "Change",
    "ChangeReference",
    "FilePlan",
    "FolderPlan",
    "Place",
    "Refused",
    "Rewritten",
    "Skipped",
    "kind_of_file",
    "places_in",
    "plan_folder",
    "rewrite_text",
]
