"""How long `import ecrkit` takes in a fresh interpreter with compiled bytecode, beside `import boto3`."""

from __future__ import annotations

import statistics
import subprocess
import sys

RUNS = 9
CODE = "import time; t = time.perf_counter(); {statement}; print((time.perf_counter() - t) * 1000)"


def milliseconds(statement: str) -> float:
    """Return the median over fresh interpreters; the first run, which writes bytecode, does not count."""
    times = []
    for _ in range(RUNS + 1):
        code = CODE.format(statement=statement)
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        times.append(float(done.stdout))
    return statistics.median(times[1:])


def main() -> None:
    """Print one line for each import."""
    base = milliseconds("import boto3")
    for statement in ("import ecrkit", "import ecrkit.refs", "import ecrkit.images", "import ecrkit.lifecycle"):
        took = milliseconds(statement)
        print(f"{statement:28} {took:7.1f} ms   {took / base:5.2f} x import boto3 ({base:.0f} ms)")


if __name__ == "__main__":
    main()
