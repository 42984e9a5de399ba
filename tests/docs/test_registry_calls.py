"""The table of what each call of `Registry` asks of IAM misses no call that asks anything."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from ecrkit import Registry
from ecrkit.access import PolicyDocument, Scope, presets

# These compute from what they are given, or only hand on what another call of the table asks.
ASKS_NOTHING = {
    "lifecycle.compare",
    "scanning.with_inspector",
    "auth.image_pull_secret",
    "auth.public_token",
    "auth.tokens_for",
    "auth.update_docker_config",
    "promotion.with_registries",
    "promotion.with_upstream",
    "replication.destination",
    "replication.with_registries",
}

# These ask services that the embedded ECR does not have; the how-to guides name what they need.
ASKS_ELSEWHERE = {
    "cost.bill": "ce:GetCostAndUsage",
    "cost.reconcile": "ce:GetCostAndUsage",
    "cost.prices": "pricing:GetProducts",
}


@pytest.fixture(scope="module")
def rows(repo_root: Path) -> list[dict[str, object]]:
    spec = importlib.util.spec_from_file_location("registry_calls", repo_root / "docs" / "registry_calls.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: list[dict[str, object]] = module.rows()
    return found


def test_every_service_method_has_a_row(rows: list[dict[str, object]]) -> None:
    named = {str(row["call"]).strip("`").removeprefix("registry.").partition("(")[0] for row in rows}
    with Registry.local() as registry:
        public = {
            f"{domain}.{name}"
            for domain in (
                "lifecycle",
                "scanning",
                "access",
                "auth",
                "replication",
                "pull_through",
                "promotion",
                "cost",
            )
            for name in dir(getattr(registry, domain))
            if not name.startswith("_") and callable(getattr(type(getattr(registry, domain)), name, None))
        }
    assert public - named == ASKS_NOTHING | set(ASKS_ELSEWHERE)


@pytest.mark.parametrize("action", sorted(set(ASKS_ELSEWHERE.values())))
def test_guides_name_actions_of_services_the_table_cannot_ask(repo_root: Path, action: str) -> None:
    assert any(action in guide.read_text(encoding="utf-8") for guide in (repo_root / "docs" / "howto").glob("*.md"))


def test_rows_name_actions_and_calls(rows: list[dict[str, object]]) -> None:
    by_call = {str(row["call"]): row for row in rows}
    assert by_call["`registry.lifecycle.apply(plan)`"] == {
        "call": "`registry.lifecycle.apply(plan)`",
        "actions": ("ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetLifecyclePolicy", "ecr:PutLifecyclePolicy"),
        "API calls": 4,
    }
    # A dry run reads and never writes.
    assert by_call["`registry.lifecycle.dry_run(repository, policy)`"]["actions"] == (
        "ecr:BatchGetImage",
        "ecr:DescribeImages",
    )


HERE = Scope("123456789012", "us-east-1")
# The preset of each domain, and the calls that it is for. What a call does in another place or on top is not its job.
PRESETS = {
    "cost": (presets.crawler(HERE), {"inventories", "tags", "storage", "waste", "attribute", "hygiene", "plan_tags"}),
    "snapshot": (presets.crawler(HERE), {""}),
    "lifecycle": (
        presets.lifecycle_admin(HERE),
        {"policy", "dry_run", "preview", "plan", "apply", "fleet_run", "fleet_plans", "advance", "inventory"},
    ),
    "scanning": (presets.scan_reader(HERE), {"resolve", "report", "read", "reports"}),
    "access": (
        presets.audit(HERE),
        {"plan_repository", "plan_registry", "readable_from_outside", "explain_pull", "explain_push", "diagnose"},
    ),
    "pull_through": (presets.pull_through_admin(HERE), {"cache", "plan", "apply", "validate"}),
    "promotion": (
        presets.promotion(HERE, HERE),
        {
            "retag", "plan", "plan_many", "apply", "copy", "copy_many", "plan_promotion", "promote", "history",
            "plan_rollback", "roll_back",
        },
    ),
    "replication": (presets.replication_source(HERE), {"configuration", "plan", "apply", "pairs", "wait"}),
}  # fmt: skip


@pytest.mark.parametrize("domain", sorted(PRESETS))
def test_the_preset_of_a_domain_allows_its_calls(rows: list[dict[str, object]], domain: str) -> None:
    document, calls = PRESETS[domain]
    assert isinstance(document, PolicyDocument)
    allowed = {action for statement in document.statements for action in statement.actions}
    asked: dict[str, set[str]] = {}
    for row in rows:
        name = str(row["call"]).strip("`").removeprefix("registry.").partition("(")[0]
        head, _, method = name.partition(".")
        # `wait(ref, start=True)` also starts a scan.
        if head == domain and method in calls and "start=True" not in str(row["call"]):
            asked.setdefault(method, set()).update(row["actions"])  # type: ignore[call-overload]
    assert asked.keys() == calls
    assert {method: sorted(actions - allowed) for method, actions in asked.items() if actions - allowed} == {}
