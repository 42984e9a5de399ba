"""Debian's docker-registry on a free loopback port, with or without a password."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.tools import require_tool

__all__ = ["docker_registry"]

_CONFIG = """version: 0.1
storage:
  filesystem:
    rootdirectory: {root}
http:
  addr: 127.0.0.1:{port}
log:
  level: error
"""


@contextmanager
def docker_registry(folder: Path, *, htpasswd: str | None = None) -> Iterator[str]:
    """Run the registry and give its host; it stores below `folder`. `htpasswd` holds who may log in."""
    program = require_tool("docker-registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = _CONFIG.format(root=folder / "registry", port=port)
    if htpasswd is not None:
        (folder / "htpasswd").write_text(htpasswd)
        config += f"auth:\n  htpasswd:\n    realm: registry\n    path: {folder / 'htpasswd'}\n"
    (folder / "config.yml").write_text(config)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
        try:
            _wait_for(port, process)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            # poll() with a timeout waits for the process, so this ends at once when it dies.
            try:
                process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError("docker-registry ended; its log says why") from None
        return
    raise RuntimeError("docker-registry does not listen")
