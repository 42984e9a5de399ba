"""Readings, findings and events of a made-up repository, and a DuckDB that reads an archive as Athena would."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import duckdb

from ecrkit.scanning import Finding, Package, ScanReport
from ecrkit.scanning.archive import DeploymentRow, FindingRow, MemoryObjects, Place, ScanRow
from ecrkit.scanning.archive.athena import Tables, columns

A = "sha256:" + "a" * 64
B = "sha256:" + "b" * 64
C = "sha256:" + "c" * 64
REPOSITORY = "team/app"
ACCOUNT = "123456789012"
PLACE = Place(ACCOUNT, "eu-west-1")
TABLES = Tables(bucket="audit", regions=["eu-west-1"], accounts=[ACCOUNT])


def day(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def finding(name: str = "CVE-2026-1", severity: str = "HIGH", *packages: str, **more: Any) -> Finding:
    return Finding(
        id=name, severity=severity, packages=tuple(Package(name=p, version="1") for p in packages or ("curl",)), **more
    )


def report(*findings: Finding, **more: Any) -> ScanReport:
    values: dict[str, Any] = {
        "source": "enhanced", "repository": REPOSITORY, "digest": A, "status": "ACTIVE",
        "completed_at": day("2026-11-20"), "findings": findings, **more,
    }  # fmt: skip
    return ScanReport(**values)


def scan(at: str, digest: str = A, *, readiness: str = "ready", **more: Any) -> ScanRow:
    values: dict[str, Any] = {
        "scan_id": f"{at} {digest[7:9]}", "repository": REPOSITORY, "image_digest": digest, "read_at": day(at),
        "readiness": readiness, "closes": readiness == "ready", "source": "enhanced", **more,
    }  # fmt: skip
    return ScanRow(**values)


def row(at: str, digest: str = A, name: str = "CVE-2026-1", severity: str = "HIGH", **more: Any) -> FindingRow:
    values: dict[str, Any] = {
        "scan_id": f"{at} {digest[7:9]}", "repository": REPOSITORY, "image_digest": digest, "read_at": day(at),
        "vulnerability_id": name, "severity": severity, "package": "curl", **more,
    }  # fmt: skip
    return FindingRow(**values)


def deployed(since: str, digest: str = A, environment: str = "prod", platform: str = "") -> DeploymentRow:
    return DeploymentRow(
        repository=REPOSITORY, environment=environment, image_digest=digest, since=day(since), platform=platform
    )


def image_scan(**detail: Any) -> dict[str, Any]:
    """An `ECR Image Scan` event in the form of the ECR user guide."""
    said = {
        "scan-status": "COMPLETE", "repository-name": REPOSITORY, "finding-severity-counts": {"HIGH": 1},
        "image-digest": A, "image-tags": ["v1"], **detail,
    }  # fmt: skip
    return event("aws.ecr", "ECR Image Scan", {k: v for k, v in said.items() if v is not None})


def event(source: str, kind: str, detail: Any, *resources: str, **more: Any) -> dict[str, Any]:
    return {
        "version": "0", "id": "85fc3613-e913-7fc4-a80c-a3753e4aa9ae", "detail-type": kind, "source": source,
        "account": ACCOUNT, "time": "2026-11-25T12:00:00Z", "region": "eu-west-1", "resources": list(resources),
        "detail": detail, **more,
    }  # fmt: skip


def image_arn(digest: str = A, repository: str = REPOSITORY) -> str:
    return f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/{repository}/{digest}"


def inspector_finding(name: str = "CVE-2026-1", status: str = "ACTIVE", digest: str = A, **more: Any) -> dict[str, Any]:
    """An `Inspector2 Finding` event in the form of the Inspector user guide."""
    detail = {
        "awsAccountId": ACCOUNT, "findingArn": f"arn:aws:inspector2:eu-west-1:{ACCOUNT}:finding/{name}",
        "severity": "HIGH", "status": status, "type": "PACKAGE_VULNERABILITY",
        "firstObservedAt": "Wed Nov 04 16:55:38.411 UTC 2026", "lastObservedAt": "Nov 25, 2026, 6:02:30 PM",
        "packageVulnerabilityDetails": {
            "vulnerabilityId": name, "vulnerablePackages": [{"name": "curl", "version": "1", "packageManager": "OS"}],
        },
        "resources": [{
            "type": "AWS_ECR_CONTAINER_IMAGE", "id": image_arn(digest), "partition": "N/A", "region": "N/A",
            "details": {"awsEcrContainerImage": {"imageHash": digest, "repositoryName": REPOSITORY, "imageTags": ["v1"]}},
        }],
        **more,
    }  # fmt: skip
    return event("aws.inspector2", "Inspector2 Finding", detail, image_arn(digest))


def answer(
    *findings: dict[str, Any], digest: str = A, status: str = "ACTIVE", done: float | None = 1764000000.0, **more: Any
) -> dict[str, Any]:
    """An answer of DescribeImageScanFindings with enhanced findings."""
    body: dict[str, Any] = {"enhancedFindings": list(findings)}
    if done is not None:
        body["imageScanCompletedAt"] = done
    return {
        "registryId": ACCOUNT, "repositoryName": REPOSITORY, "imageId": {"imageDigest": digest},
        "imageScanStatus": {"status": status}, "imageScanFindings": body, **more,
    }  # fmt: skip


def raw_finding(name: str = "CVE-2026-1", status: str = "ACTIVE", **more: Any) -> dict[str, Any]:
    return {
        "findingArn": f"arn:aws:inspector2:eu-west-1:{ACCOUNT}:finding/{name}", "severity": "HIGH", "status": status,
        "type": "PACKAGE_VULNERABILITY",
        "packageVulnerabilityDetails": {
            "vulnerabilityId": name, "vulnerablePackages": [{"name": "curl", "version": "1"}],
        },
        **more,
    }  # fmt: skip


class Answers:
    """A source of scan results from a list of pages for each digest; it remembers what was asked."""

    def __init__(self, **pages: list[dict[str, Any]]) -> None:
        self.pages: dict[str, list[dict[str, Any]]] = {f"sha256:{k * 64}": v for k, v in pages.items()}
        self.asked: list[tuple[str, str]] = []

    def scan_pages(self, repository: str, image: str) -> list[dict[str, Any]]:
        self.asked.append((repository, image))
        return self.pages[image]

    def start_scan(self, repository: str, image: str) -> None:
        raise AssertionError("the archive starts no scans")


_DUCK = {"string": "VARCHAR", "int": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN", "timestamp": "TIMESTAMP"}


def duck(
    objects: MemoryObjects | dict[str, bytes], folder: Path, prefix: str = "ecr-scan"
) -> duckdb.DuckDBPyConnection:
    """Write the objects into a folder and return a DuckDB with the tables of the DDL over them, and no other change."""
    bodies = objects.bodies if isinstance(objects, MemoryObjects) else objects
    for key, body in bodies.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA ecr_scans; SET TimeZone = 'UTC'")
    for table in ("scans", "findings", "deployments"):
        kinds = {name: _DUCK[kind] for name, kind in columns(table).items()}
        files = f"{folder}/{prefix}/{table}/**/*.json"
        if any((folder / prefix / table).rglob("*.json")):
            listed = "{" + ", ".join(f"'{n}': '{k}'" for n, k in kinds.items()) + "}"
            connection.execute(
                f"CREATE VIEW ecr_scans.{table} AS SELECT * FROM read_json('{files}', format='newline_delimited', "
                f"columns={listed}, hive_partitioning=true, hive_types_autocast=false)"
            )
        else:
            listed = ", ".join(
                f'"{n}" {k}' for n, k in {**kinds, "account": "VARCHAR", "region": "VARCHAR", "dt": "VARCHAR"}.items()
            )
            connection.execute(f"CREATE TABLE ecr_scans.{table} ({listed})")
    return connection


def rows_of(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    found = connection.execute(sql)
    names = [d[0] for d in found.description]
    return [
        {n: v.replace(tzinfo=dt.UTC) if isinstance(v, dt.datetime) else v for n, v in zip(names, r, strict=True)}
        for r in found.fetchall()
    ]


def lines(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body.splitlines()]


def empty_tables() -> duckdb.DuckDBPyConnection:
    """Return a DuckDB with the empty tables of the DDL in memory."""
    return duck({}, Path("/nonexistent"))


def fill(connection: duckdb.DuckDBPyConnection, **tables: Any) -> None:
    """Replace the rows of tables in memory; each row is in the partition of its day."""
    for table, rows in tables.items():
        connection.execute(f"DELETE FROM ecr_scans.{table}")
        for made in rows:
            moment = made.since if isinstance(made, DeploymentRow) else made.read_at
            values = {**made.to_line(), "account": ACCOUNT, "region": "eu-west-1", "dt": moment.date().isoformat()}
            marks = ", ".join("?" * len(values))
            names = ", ".join(f'"{name}"' for name in values)
            connection.execute(f"INSERT INTO ecr_scans.{table} ({names}) VALUES ({marks})", list(values.values()))
