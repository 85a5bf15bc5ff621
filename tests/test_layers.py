"""Nothing imports upward, and what a job imports is the standard library, little of it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "reporter"
LAYERS = (  # lowest first; a module may import its own layer and those below
    ("errors", "revision", "schema", "views", "ids", "facts", "lines", "outcome", "usage", "config_file", "redaction"),
    ("sinks",),
    ("decorate", "call", "run", "trouble", "recorder", "wire", "command", "attempt", "joblock", "inherited"),
    ("", "aws_lambda"),  # reporter/__init__.py, the face of the recording half, and its face for serverless functions
    # ── the line: above it in this list, standard library only ──
    (
        "store",
        "batches",
        "filesystem",
        "migrate",
        "state",
        "lease",
        "bounds",
        "sketch",
        "family",
        "grants",
        "expression",
    ),
    ("minutes", "slo", "schedule", "rates", "catalogue", "pricing"),
    ("tally",),
    ("config", "fold", "ingest", "retention", "purge", "query", "reprice"),
    ("report", "cost", "exclusions", "what_if", "formats"),
    ("metrics", "sloth_series", "exposition", "publish", "generate", "explain", "replay", "status", "html", "check"),
    ("cycle", "demo", "doctor", "serve"),
    ("cli", "__main__"),
)
LINE = LAYERS.index(("", "aws_lambda"))
# each costs a job more at its start than recording a call does
HEAVY = {"asyncio", "contextlib", "dataclasses", "functools", "hashlib", "inspect", "json", "logging", "random", "re"}
HEAVY |= {"socket", "sqlite3", "tempfile", "threading", "typing", "uuid"}


def noun(module: str) -> str:
    """`reporter.sinks.spool` → `sinks`: what the layers are made of."""
    return [*module.split("."), ""][1]


def layer(module: str) -> int:
    found = [place for place, nouns in enumerate(LAYERS) if noun(module) in nouns]
    assert found, f"{module} stands in no layer; add reporter.{noun(module)} to LAYERS"
    return found[0]


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("reporter", *path.relative_to(ROOT).with_suffix("").parts)
        if "migrations" not in parts:
            yield ".".join(part for part in parts if part != "__init__"), path


def imports(path: Path) -> Iterator[str]:
    """Every module that `path` imports anywhere, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            if node.module == "reporter":
                for alias in node.names:
                    is_module = (ROOT / alias.name).is_dir() or (ROOT / f"{alias.name}.py").exists()
                    yield f"reporter.{alias.name}" if is_module else "reporter"
            else:
                yield str(node.module)


@pytest.mark.parametrize(("module", "path"), [pytest.param(*found, id=found[0]) for found in modules()])
def test_a_module_imports_its_own_layer_and_below(module: str, path: Path) -> None:
    ours = [name for name in imports(path) if name.split(".")[0] == "reporter"]

    assert [name for name in ours if layer(name) > layer(module)] == []


def test_the_recording_half_imports_the_standard_library_only() -> None:
    allowed = {"reporter", *sys.stdlib_module_names}
    drivers = {("reporter.sinks.shipping", "psycopg"), ("reporter.sinks.postgresql", "psycopg")}

    foreign = {
        (module, name)
        for module, path in modules()
        if layer(module) <= LINE
        for name in imports(path)
        if name.split(".")[0] not in allowed
    }

    assert foreign - drivers == set()


def test_importing_reporter_pulls_in_nothing_that_costs_a_job_its_start() -> None:
    program = "import sys; before = set(sys.modules); import reporter; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT.parent)!r}); {program}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert set(done.stdout.split()) & HEAVY == set()
