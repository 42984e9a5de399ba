"""moto's ECR, answered by the embedded ECR: code under test keeps `mock_aws` and gets exact answers.

Needs moto (the extra `testing`). moto itself is imported only when `bridge` is entered.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ecrkit.errors import MissingExtra

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine

__all__ = ["bridge"]


@contextlib.contextmanager
def bridge(engine: Engine) -> Iterator[Engine]:
    """Send the ECR calls of clients under `mock_aws` to the engine for the time of the block, and yield the engine.

    It works inside and around `mock_aws`, and for moto's server in this process. Other services stay moto's own.
    Account and region are those moto finds: assumed roles count. `mock_aws` resets its backends as it starts and
    stops, and `moto.moto_api` on demand; that resets the engine too, so fill it inside `mock_aws`. Afterwards ECR is
    moto's own again, empty. Blocks nest: the inner engine answers until its block ends.

    Raises:
        MissingExtra: moto is not installed.

    Example:
        >>> import boto3
        >>> from moto import mock_aws
        >>> from ecrkit.local import Engine
        >>> with mock_aws(), bridge(Engine()) as engine:
        ...     ecr = boto3.client("ecr", region_name="us-east-1")
        ...     made = ecr.create_repository(repositoryName="app")
        ...     [call.operation for call in engine.calls]
        ['CreateRepository']
    """
    try:
        from moto.ecr.models import ecr_backends

        from ecrkit.local.moto_bridge import models
    except ImportError as problem:
        raise MissingExtra("moto", extra="testing") from problem
    before = ecr_backends.backend
    models.engines.append(engine)
    ecr_backends.backend = models.EngineBackend  # type: ignore[assignment]
    # What exists already was made by the class before; moto makes new ones when it is next asked.
    ecr_backends.clear()
    try:
        yield engine
    finally:
        models.engines.pop()
        ecr_backends.backend = before
        ecr_backends.clear()
