"""What needs an extra says which one."""

from __future__ import annotations

import sys

import pytest

from ecrkit.admission import AdmissionServer, application
from ecrkit.errors import MissingExtra
from tests.support.admission import FakeRegistry, service


class TestMissingExtras:
    def test_without_prometheus_client(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "prometheus_client", None)
        with service(FakeRegistry()) as asked, pytest.raises(MissingExtra, match=r"ecrkit\[admission\]"):
            application(asked)

    def test_without_cheroot(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with service(FakeRegistry()) as asked:
            app = application(asked)
            for name in ("cheroot.makefile", "cheroot.server", "cheroot.ssl", "cheroot.wsgi"):
                monkeypatch.setitem(sys.modules, name, None)
            with pytest.raises(MissingExtra, match=r"ecrkit\[admission\]"):
                AdmissionServer(app)
