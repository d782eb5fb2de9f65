"""A YAML file that people write, read into a model or refused with file, line and reason for everything wrong in it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from shared.schemas.refusals import reason

MAX_FILE_BYTES = 1 << 18
MOST_PROBLEMS = 10
_MOST_NODES = 20_000
_DEEPEST = 24

M = TypeVar("M", bound=BaseModel)
Path = tuple[str | int, ...]


class FileError(ValueError):
    """Files that cannot be used; every line of the message names file, line and reason."""


@dataclass(frozen=True)
class Document(Generic[M]):
    name: str
    content: M
    lines: Mapping[Path, int]

    def problem(self, path: Path, reason: str) -> str:
        """A sentence about what stands at ``path``."""
        return one_line(f"{self.name}:{line_of(path, self.lines)}: {reason}")


def refuse(problems: list[str], error: type[FileError] = FileError) -> None:
    """Raises ``error`` about all of them, as many as one can read; nothing when there are none."""
    if problems:
        more = [f"and {len(problems) - MOST_PROBLEMS} more"] if len(problems) > MOST_PROBLEMS else []
        raise error("\n".join(problems[:MOST_PROBLEMS] + more))


def read(name: str, text: str, model: type[M], naming: Mapping[str, str] | None = None) -> Document[M] | list[str]:
    """The document, or what is wrong with it.

    ``naming``: key of a list -> what one of its entries is called in a refusal, as ``{"rules": "rule"}``.
    """
    if len(text.encode()) > MAX_FILE_BYTES:
        return [f"{name}:1: larger than {MAX_FILE_BYTES} bytes"]
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[Path, int] = {}
        for path, line in _lines(root) if root else ():
            lines.setdefault(path, line)  # of a key and what follows it, the key's
        tree = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return [f"{name}:{mark.line + 1 if mark else 1}: not YAML: {error.problem or error.context}"]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return [f"{name}:1: not YAML: {' '.join(str(error).split()) or type(error).__name__}"]
    if not isinstance(tree, dict):
        keys = ", ".join(f"`{key}:`" for key in keys_of(model))
        return [f"{name}:1: must be a mapping of {keys}"]
    try:
        return Document(name, model.model_validate(tree), lines)
    except ValidationError as error:
        found = sorted(
            (line_of(e["loc"], lines), f"{_where(e['loc'], tree, naming or {})}{_why(e, model)}")
            for e in error.errors()
        )
        return [one_line(f"{name}:{line}: {text}") for line, text in found]


def reasons(
    error: ValidationError, model: type[BaseModel], document: Document[Any], at: Path, called: str
) -> list[str]:
    """What is wrong with a model that was made from what stands at a place of a document, with lines."""
    found = sorted((line_of((*at, *e["loc"]), document.lines), e["loc"], _why(e, model)) for e in error.errors())
    return [one_line(f"{document.name}:{line}: {_words([called], loc)}{why}") for line, loc, why in found]


def one_line(text: str) -> str:
    """A refusal is a line, whatever it quotes: Unicode has line ends of its own."""
    return " ".join(text.split())


def keys_of(model: type[BaseModel]) -> list[str]:
    return [f.alias or n for n, f in model.model_fields.items()]


def line_of(path: tuple[int | str, ...], lines: Mapping[Path, int]) -> int:
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


def _lines(root: yaml.Node) -> Iterator[tuple[Path, int]]:
    """Path -> line of every node. Refuses repeated keys, which YAML loaders swallow, and aliases that explode."""
    stack: list[tuple[Path, yaml.Node]] = [((), root)]
    for _ in range(_MOST_NODES):
        if not stack:
            return
        path, node = stack.pop()
        if len(path) > _DEEPEST:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=node.start_mark)
        yield path, node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise yaml.MarkedYAMLError(problem="a key must be a word", problem_mark=key.start_mark)
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"`{key.value}` is there twice", problem_mark=key.start_mark)
                seen.add(key.value)
                stack.append(((*path, key.value), value))
                yield (*path, key.value), key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode):
            stack += [((*path, index), value) for index, value in enumerate(node.value)]
    raise ValueError("it holds too many values")


def _where(loc: tuple[int | str, ...], tree: Any, naming: Mapping[str, str]) -> str:
    """``rule `cpu_busy`, above: ``, as far as it can be said."""
    words = []
    if len(loc) > 1 and isinstance(loc[1], int) and loc[0] in naming:
        entry = tree[loc[0]][loc[1]]
        name = entry.get("name") if isinstance(entry, dict) else None
        called = naming[str(loc[0])]
        words.append(f"{called} `{name}`" if isinstance(name, str) else f"{called} {loc[1] + 1}")
    return _words(words, loc[2 if words else 0 :])


def _words(words: list[str], loc: tuple[int | str, ...]) -> str:
    rest = ".".join(str(part) for part in loc if part not in ("bool", "int", "constrained-int"))
    return ", ".join(filter(None, [*words, rest])) + ": " if words or rest else ""


def _why(error: Any, model: type[BaseModel]) -> str:
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(error["loc"][-1]), _all_keys(model), n=1, cutoff=0.5)
        return f"unknown key{f'; did you mean `{close[0]}`?' if close else ''}"
    if error["type"] == "string_pattern_mismatch":
        return f"`{error['input']}` must be letters, digits and underscores only (names: lower case)"
    return reason(error)


def _all_keys(model: type[BaseModel]) -> list[str]:
    """Of the model and of every model within it."""
    keys: dict[str, None] = {}
    schema = model.model_json_schema()
    for part in (schema, *schema.get("$defs", {}).values()):
        keys |= dict.fromkeys(part.get("properties", {}))
    return list(keys)
