"""Which format a file is in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from reporter.config.document import read_documents
from reporter.config.model import Config
from reporter.errors import ConfigError
from reporter.formats import openslo, sloth
from reporter.formats.model import Choices, Import

Read = Callable[[Sequence[Path], Choices], Import]


def kind_of(file: Path) -> tuple[str, Read] | None:
    """The name of a file's format, and what reads it; None for one of reporter.yaml's kind.

    Raises:
        ConfigError: it is none of them, or can't be read.
    """
    documents = read_documents(file)
    data = documents[0].data if documents else {}
    api = str(data.get("apiVersion", ""))
    if api.startswith("openslo/"):
        return "OpenSLO", openslo.read
    if api.startswith("sloth.slok.dev/") or str(data.get("version", "")).startswith("prometheus/"):
        return "Sloth", sloth.read
    known = {field.alias or name for name, field in Config.model_fields.items()}
    if data and not known & data.keys():
        raise ConfigError(
            f"{file}:1: is of no kind that is known: neither reporter.yaml's, Sloth's nor OpenSLO's, nor one that"
            " `reporter generate` writes"
        )
    return None
