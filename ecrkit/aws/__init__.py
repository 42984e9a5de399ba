"""The gateways to AWS: the only part of ecrkit, besides the embedded ECR and the test helpers, that imports boto3.

`session` opens clients, `calls` makes paced calls and maps faults, `ecr` is the gateway to ECR. Each gateway method
names the IAM actions it needs; `iam.permissions()` lists them all.
"""

from __future__ import annotations

__all__: list[str] = []
