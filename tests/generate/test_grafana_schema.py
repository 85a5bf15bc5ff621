"""Grafana's own types in TypeScript take every dashboard; where npm is there to fetch them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.generate.test_grafana import generated

PACKAGES = ("@grafana/schema@13.2.3", "typescript@7.0.2")
# In a file an enum is its text or number, and a variable has the text of its query, as in what Grafana exports.
TYPES = """
import type { Dashboard, VariableModel } from "@grafana/schema";
type Wire<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T
  : T extends VariableModel ? Written<T & { definition?: string }> : T extends (infer Item)[] ? Wire<Item>[] : Written<T>;
type Written<T> = { [Key in keyof T]: Wire<T[Key]> };
export type File = Wire<Dashboard>;
"""
SETTINGS = {
    "compilerOptions": {"noEmit": True, "skipLibCheck": True, "strict": True, "module": "nodenext", "types": []},
    "include": ["*.ts"],
}
CHANGES = (
    ('"gridPos"', '"gridPoss"'),
    ('"mode": "absolute"', '"mode": "absolut"'),
    ('"refresh": "1m"', '"refresh": 60'),
    ('"graphTooltip": 1', '"graphTooltip": 5'),
)


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with Grafana's types and a compiler."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("there is no npm, which fetches Grafana's types")
    directory = tmp_path_factory.mktemp("types")
    (directory / "package.json").write_text("{}")
    fetched = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES],
        cwd=directory, capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    if fetched.returncode:
        pytest.skip(f"npm can't fetch {' and '.join(PACKAGES)}: {fetched.stderr[-300:]}")
    (directory / "wire.ts").write_text(TYPES)
    (directory / "tsconfig.json").write_text(json.dumps(SETTINGS))
    return directory


def complaints(types: Path, dashboards: dict[str, str]) -> str:
    """What the compiler says of JSON texts, by name, as values of Grafana's type."""
    for old in types.glob("of-*.ts"):
        old.unlink()
    for name, text in dashboards.items():
        typed = f'import type {{ File }} from "./wire.js";\nexport const dashboard: File = {text.rstrip()};\n'
        (types / f"of-{name}.ts").write_text(typed)
    told = subprocess.run(
        [types / "node_modules" / ".bin" / "tsc", "-p", "."], cwd=types, capture_output=True, text=True, check=False
    )
    assert (told.returncode == 0) == (told.stdout == ""), told
    return told.stdout


def test_grafanas_types_in_typescript_take_each_dashboard_and_refuse_a_changed_one(tmp_path: Path, types: Path) -> None:
    texts = {path.stem: path.read_text() for path in generated(tmp_path).glob("dashboards/reporter/*.json")}
    assert len(texts) == 6
    assert complaints(types, texts) == ""

    changed = {str(place): texts["reporter-slo"].replace(*change) for place, change in enumerate(CHANGES)}
    assert texts["reporter-slo"] not in changed.values()
    told = complaints(types, changed)
    assert {name for name in changed if f"of-{name}.ts" in told} == set(changed), told
