"""Check built packages: metadata, contents, and the wheel's import in a clean environment outside the checkout.

Run it as `python scripts/check_dist.py dist`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

from packaging.metadata import Metadata

ROOT = Path(__file__).parent.parent

# What the wheel promises: the facade loads without boto3, the engine and a pure domain work, the types are there.
PROBE = """
import sys
from importlib.resources import files
import ecrkit
assert "boto3" not in sys.modules, "import ecrkit loads boto3"
assert "site-packages" in ecrkit.__file__, ecrkit.__file__
assert files("ecrkit").joinpath("py.typed").is_file()
for name in ecrkit.__all__:
    getattr(ecrkit, name)
print(f"ecrkit {ecrkit.__version__} imports from its wheel: {', '.join(ecrkit.__all__)}")
"""


def wheel_faults(path: Path) -> list[str]:
    """Return what is wrong with the wheel's metadata and contents."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        (metadata_name,) = [n for n in names if n.endswith(".dist-info/METADATA")]
        metadata = Metadata.from_email(wheel.read(metadata_name), validate=True)
    faults = []
    if "ecrkit/py.typed" not in names:
        faults.append("py.typed is missing")
    faults += [f"stray file {n}" for n in names if not n.startswith(("ecrkit/", "ecrkit-"))]
    if not any(n.endswith("/licenses/LICENSE") for n in names):
        faults.append("the license is missing")
    if metadata.description_content_type != "text/markdown" or not (metadata.description or "").strip():
        faults.append("the long description is no Markdown text")
    if str(metadata.requires_python) != ">=3.11":
        faults.append(f"requires-python is {metadata.requires_python}")
    core = {r.name for r in metadata.requires_dist or () if r.marker is None or "extra" not in str(r.marker)}
    if core != {"attrs", "boto3", "botocore", "typing-extensions"}:
        faults.append(f"core dependencies are {sorted(core)}")
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    if set(metadata.provides_extra or ()) != set(promised):
        faults.append(f"extras are {metadata.provides_extra}, not {sorted(promised)}")
    return faults


def sdist_faults(path: Path) -> list[str]:
    """Return what is wrong with the sdist's contents: it must hold what the suite needs, and nothing stray."""
    with tarfile.open(path) as sdist:
        names = [n.partition("/")[2] for n in sdist.getnames()]
    tops = {n.partition("/")[0] for n in names if n}
    wanted = {
        "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "PKG-INFO", "README.md", "benchmarks", "docs",
        "ecrkit", "mkdocs.yml", "pyproject.toml", "requirements", "scripts", "tests",
    }  # fmt: skip
    faults = [f"{n} is missing from the sdist" for n in sorted(wanted - tops)]
    faults += [f"stray {n} in the sdist" for n in sorted(tops - wanted - {".gitignore"})]
    return faults


def import_from_wheel(path: Path) -> None:
    """Install the wheel into a new environment in a temporary folder and import it there."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "env"
        venv.create(home, with_pip=True)
        python = home / "bin" / "python"
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        install = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", path.resolve()]
        for command in (install, [python, "-W", "error", "-c", PROBE]):
            subprocess.run(command, cwd=folder, env=env, check=True)


def main(folder: str) -> int:
    """Check the one wheel and the one sdist of `folder`; return the exit code."""
    (wheel,) = Path(folder).glob("*.whl")
    (sdist,) = Path(folder).glob("*.tar.gz")
    faults = [*wheel_faults(wheel), *sdist_faults(sdist)]
    for fault in faults:
        print(f"{folder}: {fault}", file=sys.stderr)
    if faults:
        return 1
    import_from_wheel(wheel)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
