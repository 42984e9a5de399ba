"""Write the generated pages: the reference, one page for each public package, and the tables the code knows best.

`python docs/gen_pages.py` writes them, `--check` only says which are out of date, with exit code 1. The navigation
lists the index of the reference only; its pages are reached from there.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

DOCS = Path(__file__).resolve().parent
NOTE = "<!-- Written by docs/gen_pages.py; `make golden` renews it. -->\n\n"


def packages() -> list[str]:
    """Return the public modules and packages directly below ecrkit, sorted; `demo` is a program, not an API."""
    import ecrkit

    names = [m.name for m in pkgutil.iter_modules(ecrkit.__path__)]
    return sorted(n for n in names if not n.startswith("_") and n not in ("demo", "__main__"))


def submodules(name: str) -> list[str]:
    """Return the public submodules of a package, at any depth."""
    module = importlib.import_module(f"ecrkit.{name}")
    found = pkgutil.walk_packages(getattr(module, "__path__", ()), f"ecrkit.{name}.")
    return sorted(f.name for f in found if not any(p.startswith("_") for p in f.name.split(".")))


def summary(module: str) -> str:
    """Return the first sentence of a module's docstring."""
    text = (importlib.import_module(module).__doc__ or "").strip().partition("\n\n")[0]
    return " ".join(text.split()).partition(". ")[0].rstrip(".") + "."


def listed(name: str, members: Iterable[str]) -> str:
    """Return the mkdocstrings block that shows the members of a module."""
    lines = [f"::: {name}", "    options:", "      show_root_heading: false", "      show_root_toc_entry: false"]
    lines += ["      members:", *[f"        - {m}" for m in members]]
    return "\n".join(lines) + "\n"


def reference_page(name: str) -> str:
    """Return the page of one package: what it exports, then what only its submodules export."""
    top = importlib.import_module(f"ecrkit.{name}")
    # A name that a submodule bears too is shown in the submodule's section: griffe takes the path for the module.
    below = {m.rpartition(".")[2] for m in submodules(name)}
    names = [n for n in getattr(top, "__all__", ()) if n not in below]
    # Docstrings refer to modules by name; the explicit ids give such a reference a place to arrive.
    parts = [f"{NOTE}# ecrkit.{name} {{#ecrkit.{name}}}\n", listed(f"ecrkit.{name}", names)]
    for module in submodules(name):
        rest = [n for n in getattr(importlib.import_module(module), "__all__", ()) if n not in names]
        if rest:
            parts += [f"## {module} {{#{module}}}\n", listed(module, rest)]
    return "\n".join(parts)


def reference_index(extra: Mapping[str, str]) -> str:
    """Return the table of all reference pages."""
    rows = ["| Module | What it holds |", "|---|---|"]
    rows += [f"| [`ecrkit.{n}`]({n}.md) | {summary(f'ecrkit.{n}')} |" for n in packages()]
    more = [f"- [{title}]({name})" for name, title in sorted(extra.items())]
    return f"{NOTE}# Reference\n\n" + "\n".join(rows) + ("\n\n## Tables\n\n" + "\n".join(more) if more else "") + "\n"


def operations_page() -> str | None:
    """Return the state of every operation of the installed model on the embedded ECR, or None without the engine."""
    if not importlib.util.find_spec("ecrkit.local"):
        return None
    table = importlib.import_module("ecrkit.local").operation_table()
    rows = [{"operation": f"`{r.operation}`", "state": r.state, "note": r.note} for r in table]
    return (
        f"{NOTE}# Operations of the embedded ECR\n\nEvery operation of the ECR service model that is installed with"
        f" botocore, and what `ecrkit.local` makes of it.\n\n{_markdown(rows)}\n"
    )


CALLS_NOTE = """\
Each call was made once on an embedded ECR that holds one repository with one image for two platforms, and the
engine wrote down what arrived. Longer listings make more calls: one for each 1000 repositories or images, one
for each 100 manifests. A wait asks again until the scan has ended and, for enhanced scans, until two readings
agree. On AWS `explain_pull` and `explain_push` also read the principal's policies: see `IamDocuments` below.
Tokens are kept until half of their life is over."""


def iam_page() -> str | None:
    """Return the IAM actions that each gateway method needs, or None while no gateway declares any."""
    if not importlib.util.find_spec("ecrkit.aws"):
        return None
    for name in submodules("aws"):  # a gateway's needs are recorded when its module is imported
        importlib.import_module(name)
    rows = [
        {"method": f"`{m}`", "actions": a} for m, a in importlib.import_module("ecrkit.aws.iam").permissions().items()
    ]
    if not rows:
        return None
    sys.path.insert(0, str(DOCS))
    calls = importlib.import_module("registry_calls")
    return (
        f"{NOTE}# IAM actions\n\nWhat each gateway method may ask of IAM, as the code declares it."
        f" A test checks every action against the service model.\n\n## By call of `Registry`\n\n{CALLS_NOTE}\n\n"
        f"{_markdown(calls.rows())}\n\n## By method of a gateway\n\n{_markdown(rows)}\n"
    )


def _markdown(rows: list[dict[str, object]]) -> str:
    """Return a Markdown table of rows with the same keys."""
    header = list(rows[0])
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(_cell(r[h]) for h in header) + " |" for r in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"`{v}`" for v in value)
    return str(value).replace("|", "\\|")


def pages() -> dict[str, str]:
    """Return every generated page by its path below docs/."""
    tables = {
        "operations.md": ("Operations of the embedded ECR", operations_page()),
        "iam.md": ("IAM actions of the gateways", iam_page()),
    }
    there = {name: title for name, (title, text) in tables.items() if text is not None}
    found = {f"reference/{n}.md": reference_page(n) for n in packages()}
    found |= {f"reference/{name}": text for name, (_, text) in tables.items() if text is not None}
    found["reference/index.md"] = reference_index(there)
    return found


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` compare them; return the exit code."""
    wanted = pages()
    stray = {p.relative_to(DOCS).as_posix() for p in (DOCS / "reference").glob("*.md")} - set(wanted)
    stale = [n for n, t in wanted.items() if not (DOCS / n).is_file() or (DOCS / n).read_text(encoding="utf-8") != t]
    if "--check" in arguments:
        for name in sorted([*stale, *stray]):
            print(f"docs/{name} is out of date; run `make golden`", file=sys.stderr)
        return 1 if stale or stray else 0
    for name in stale:
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(wanted[name], encoding="utf-8")
    for name in stray:
        (DOCS / name).unlink()
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(DOCS.parent))
    sys.exit(main(sys.argv[1:]))
