"""`python -m ecrkit.local`: the embedded ECR as a process, for any AWS or registry client."""

from __future__ import annotations

import argparse
import re
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Final

from ecrkit._internal.clock import SystemClock
from ecrkit.local.engine import Engine
from ecrkit.local.server import LocalServer, serve

__all__ = ["main"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port number (0 to 65535)")
    return int(text)


def _account(text: str) -> str:
    if not re.fullmatch(r"[0-9]{12}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no account id of twelve digits")
    return text


def _region(text: str) -> str:
    if not re.fullmatch(r"[a-z]{2,4}(-[a-z]+){1,3}-[0-9]{1,2}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no region such as us-east-1")
    return text


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ecrkit.local",
        description="Serve an ECR that lives in memory: the AWS API and the registry protocol on one port.",
    )
    parser.add_argument("--port", type=_port, default=4510, help="port to listen on, 0 for a free one (default: 4510)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--account", type=_account, default="123456789012", help="account id of the registry")
    parser.add_argument("--region", type=_region, default="us-east-1", help="region of calls that name none")
    return parser


def _lines(server: LocalServer, engine: Engine) -> str:
    return (
        f"The embedded ECR listens on {server.url} (account {engine.account}). Nothing is kept when it stops.\n"
        "For AWS clients:\n"
        f"  export AWS_ENDPOINT_URL_ECR={server.url}\n"
        f"  export AWS_DEFAULT_REGION={engine.region} AWS_ACCESS_KEY_ID=embedded AWS_SECRET_ACCESS_KEY=embedded\n"
        "For registry clients:\n"
        f"  aws ecr get-login-password | "
        f"skopeo login --tls-verify=false --username AWS --password-stdin {server.host}\n"
        "Stop with Ctrl-C."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return 0, or 2 when the port or address cannot be used.

    Runs in the main thread only, where signals arrive.
    """
    options = _arguments().parse_args(argv)
    engine = Engine(clock=SystemClock(), account=options.account, region=options.region)
    try:
        server = serve(engine, host=options.host, port=options.port)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        print(f"ecrkit.local: cannot listen on {options.host}:{options.port}: {reason}", file=sys.stderr)
        return 2
    with server:
        # Both signals raise in this thread: a handler that sets the event could meet the event's own lock.
        before = {number: signal.signal(number, signal.default_int_handler) for number in _SIGNALS}
        try:
            print(_lines(server, engine), flush=True)
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped", flush=True)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return 0


if __name__ == "__main__":
    sys.exit(main())
