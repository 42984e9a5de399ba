from __future__ import annotations

import pytest

from ecrkit.admission.manifests import ServerAddress
from tests.support.certificates import Authority


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def server(authority) -> ServerAddress:
    return ServerAddress(ca=authority.ca)
