"""A YAML text as plain data that remembers its lines.

`yaml.safe_load` semantics, held short: one document, only plain types, caps on size, depth and number of values (so
that aliases can't multiply), no duplicate keys.  `${NAME}` in text values is the environment variable, `$${` a literal
`${`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from reporter.config_file import MAX_BYTES, read
from reporter.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Caps:
    """How much a file may hold before it is no more read."""

    bytes: int
    depth: int
    values: int  # once its aliases are followed


CONFIGURATION = Caps(bytes=MAX_BYTES, depth=32, values=50_000)
GENERATED = Caps(bytes=1 << 24, depth=48, values=1_000_000)  # of hundreds of SLOs, with their unit tests
MAX_NUMBER = 100  # characters of a number or a moment

Location = tuple[str | int, ...]
"""Where a value stands: ("slos", 0, "objective")."""

_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp")}
_VARIABLE = re.compile(r"\$(\$\{)|\$\{([^}]*)\}?")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong at one place."""

    location: Location
    why: str
    line: int | None = None  # None: that of the location


@dataclass(slots=True)
class Document:
    """A file's data, the line of each value, and what was wrong on the way."""

    name: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[Location, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, location: Location) -> int:
        """Return the line where a value stands, or the nearest thing around it."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)

    def error(self, problems: list[Problem]) -> ConfigError:
        """Return one error that tells of all problems, one a line, in the order of the file."""
        told = {
            (problem.line or self.line(problem.location), f"{path(problem.location)}{problem.why}"): None
            for problem in problems
        }
        in_order = sorted(told, key=lambda told: told[0])
        return ConfigError("\n".join(f"{self.name}:{line}: {what}" for line, what in in_order))


def path(location: Location) -> str:
    """Return a location as people write it, with a colon behind it: `slos[0].objective: `; '' for the whole file."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return f"{text.removeprefix('.')}: " if text else ""


def read_document(file: Path, environ: Mapping[str, str]) -> Document:
    """Read a YAML file.

    Raises:
        ConfigError: it can't be read, is too large, is no UTF-8, or is no YAML mapping.
    """
    return parse_document(read_text(file), str(file), environ)


def read_text(file: Path, caps: Caps = CONFIGURATION) -> str:
    """Read a file that people write.

    Raises:
        ConfigError: it can't be read, is too large, or is no UTF-8.
    """
    return read(str(file), caps.bytes)


def parse_document(text: str, name: str, environ: Mapping[str, str]) -> Document:
    """Read a YAML text; `name` is what messages call it.

    Raises:
        ConfigError: it is no YAML, or breaks a cap.  Smaller problems are collected in the document.
    """
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
    except (yaml.MarkedYAMLError, yaml.reader.ReaderError) as error:
        raise _no_yaml(name, text, error) from error
    document = Document(name)
    if root is not None:
        reader = _Reader(loader, document, environ)
        data = reader.value(root, ())
        if data is not None and not isinstance(data, dict):
            raise ConfigError(f"{name}:1: must be a mapping with keys like database and slos")
        document.data = data or {}
    return document


def read_documents(file: Path) -> list[Document]:
    """Read every document of a YAML file that another program wrote; `${NAME}` in it is text like any other.

    Raises:
        ConfigError: as `read_document`.
    """
    return parse_documents(read_text(file), str(file))


def parse_documents(text: str, name: str, caps: Caps = CONFIGURATION) -> list[Document]:
    """Read every document of a YAML text as `read_documents` does; `name` is what messages call it.

    Raises:
        ConfigError: as `parse_document`.
    """
    documents = []
    try:
        loader = _Loader(text, caps)
        while loader.check_node():
            document = Document(name)
            root = loader.get_node()
            assert root is not None
            data = _Reader(loader, document, None).value(root, ())
            if data is None:
                continue
            if not isinstance(data, dict):
                raise ConfigError(f"{name}:{_line(root)}: must be a mapping")
            document.data = data
            documents.append(document)
    except (yaml.MarkedYAMLError, yaml.reader.ReaderError) as error:
        raise _no_yaml(name, text, error) from error
    return documents


def _no_yaml(name: str, text: str, error: yaml.MarkedYAMLError | yaml.reader.ReaderError) -> ConfigError:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return ConfigError(f"{name}:{line}: is no valid YAML: {error.reason}")
    mark = error.problem_mark or error.context_mark
    what = error.problem or error.context or "can't be understood"
    return ConfigError(f"{name}:{mark.line + 1 if mark else 1}: is no valid YAML: {what}")


class _Loader(yaml.SafeLoader):
    """Composes nodes, but only so deep: PyYAML recurses."""

    def __init__(self, text: str, caps: Caps = CONFIGURATION) -> None:
        super().__init__(text)
        self.caps, self.depth = caps, 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > self.caps.depth:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML's stubs lack it
            raise yaml.composer.ComposerError(None, None, f"nested deeper than {self.caps.depth} levels", mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _Reader:
    """Turns nodes into plain values."""

    def __init__(self, loader: _Loader, document: Document, environ: Mapping[str, str] | None) -> None:
        """Without an environment nothing is expanded."""
        self.loader, self.document, self.environ = loader, document, environ
        self.values = 0

    def value(self, node: yaml.Node, location: Location) -> Any:
        self.values += 1
        caps = self.loader.caps
        if self.values > caps.values or len(location) > caps.depth:
            limit = f"{caps.values} values" if self.values > caps.values else f"{caps.depth} levels"
            raise ConfigError(
                f"{self.document.name}:{_line(node)}: holds more than {limit} once its aliases are followed"
            )
        self.document.lines.setdefault(location, _line(node))
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, location)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.value(item, (*location, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self.mapping(node, location)
        self.blame(location, f"the YAML tag {node.tag} is not allowed here", node)
        return None

    def scalar(self, node: yaml.ScalarNode, location: Location) -> Any:
        if node.tag not in _PLAIN_TAGS:
            self.blame(location, f"the YAML tag {node.tag} is not allowed here", node)
            return None
        try:
            if len(node.value) > MAX_NUMBER and not node.tag.endswith(":str"):
                raise ValueError("1:1:1:… is a number in base 60, and costs the square of its length")
            value = self.loader.construct_object(node)
        except (ValueError, yaml.YAMLError):
            self.blame(location, f"{node.value[:40]!r} is no valid {node.tag.rpartition(':')[2]}", node)
            return None
        return self.text(value, location, node) if isinstance(value, str) else value

    def mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                continue
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else ""
            if key_node.tag != "tag:yaml.org,2002:str" or _SURROGATE.search(key):
                self.blame(location, f"the key {key[:40]!a} is no text; quote it", key_node)
            elif key in values:
                first = self.document.line((*location, key))
                self.blame((*location, key), f"is there twice; first on line {first}", key_node)
            else:
                self.document.lines.setdefault((*location, key), _line(key_node))
                values[key] = self.value(value_node, (*location, key))
        for source in merged:  # `<<: *anchor` gives what is not said here
            inherited = self.value(source, location)
            if not isinstance(inherited, dict):
                self.blame(location, "<< must name a mapping", source)
                continue
            values |= {key: value for key, value in inherited.items() if key not in values}
        return values

    def text(self, value: str, location: Location, node: yaml.Node) -> str | None:
        """Expand `${NAME}`; None when that can't be done, which is a problem already told."""
        value = _joined(value)
        if _SURROGATE.search(value) or "\0" in value:
            self.blame(location, "holds a lone surrogate or a NUL, which no database and no gateway takes", node)
            return None
        environ, problems = self.environ, list[str]()
        if environ is None:
            return value

        def expand(match: re.Match[str]) -> str:
            escaped, name = match.groups()
            if escaped:
                return "${"
            if not match[0].endswith("}") or not _VARIABLE_NAME.fullmatch(name):
                problems.append("${ must be followed by a variable's name and }; write $${ for a literal ${")
                return ""
            if name not in environ:
                problems.append(f"the environment variable {name} is not set")
            return environ.get(name, "")

        expanded = _VARIABLE.sub(expand, value)
        for why in problems:
            self.blame(location, why, node)
        if problems:
            return None
        if "\0" in expanded or _SURROGATE.search(expanded):
            self.blame(location, "an environment variable in it is not UTF-8 text", node)
            return None
        return expanded

    def blame(self, location: Location, why: str, node: yaml.Node) -> None:
        self.document.problems.append(Problem(location, why, _line(node)))


def _joined(text: str) -> str:
    """JSON writes what lies beyond U+FFFF as two escapes, which PyYAML leaves two halves."""
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le") if _SURROGATE.search(text) else text
    except UnicodeDecodeError:  # one half without the other
        return text


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
