"""What describes a network: a class by its path and its arguments, some of which are parts described the same way."""

import inspect
import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from generators.contract import ModelError

DESCRIPTION = "generator.yaml"
FORMAT = 1
LONGEST_DESCRIPTION = 100_000  # bytes


class _PlainLoader(yaml.SafeLoader):
    """Refuses aliases, of which a few lines make a description that never ends."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it uses aliases, which no model's description needs")
        return super().compose_node(parent, index)


class PlainDumper(yaml.SafeDumper):
    """Writes a list out as often as it occurs."""

    def ignore_aliases(self, data: Any) -> bool:
        """Say so of every value."""
        return True


def describe(folder: Path) -> dict[str, Any]:
    """Read generator.yaml.

    Raises:
        ModelError: it is missing, damaged, or of a format that this version does not know.
    """
    file = folder / DESCRIPTION
    try:
        if file.stat().st_size > LONGEST_DESCRIPTION:
            raise ValueError("it is far too long")
        words = yaml.load(file.read_text(), _PlainLoader)  # noqa: S506 - a SafeLoader
        json.dumps(words, ensure_ascii=False, default=str).encode()  # half a letter is no text
    except Exception as error:  # a scalar with a tag (!!bool maybe) may raise anything
        raise ModelError(f"{folder} is no model folder: cannot read {DESCRIPTION} ({one_line(error)})") from error
    if not isinstance(words, dict) or not isinstance(words.get("class_path"), str):
        raise ModelError(f"{file} names no class_path: it is not a model's description")
    if words.get("format") != FORMAT:
        found = one_line(words.get("format"))
        raise ModelError(f"{file} has format {found}, this version reads {FORMAT}: update unshift")
    return words


def build(words: Mapping[str, Any], *, trust: bool = False) -> nn.Module:
    """Build what a description names, its parts first, with fresh weights.

    Args:
        words: "class_path" and "init_args".
        trust: see `load`.

    Raises:
        ModelError: it cannot be; the message goes on from the description's name.
    """
    path, arguments = words.get("class_path"), words.get("init_args") or {}
    if not isinstance(path, str) or not path.isprintable():
        raise ModelError(f"names {one_line(path)}, which is no class path")
    if not isinstance(arguments, dict) or not all(isinstance(name, str) for name in arguments):
        raise ModelError(f"gives {path} init_args that are not names with values")
    if not trust and not path.rpartition(".")[0].startswith("generators."):
        raise ModelError(f"wants to run {path}: use --trust if you know where it is from")
    kind = find_class(path)
    parts = {key: _build_parts(value, trust) for key, value in arguments.items()}
    try:
        return kind(**parts)
    except Exception as error:  # whatever a class says to arguments that nobody has checked
        raise ModelError(f"gives {kind.__name__} arguments that it does not take: {one_line(error)}") from error


def find_class(path: str) -> type[nn.Module]:
    """Import a network's class.

    Raises:
        ModelError: it is not to be had, or is none; the message goes on from the description's name.
    """
    room, _, name = path.rpartition(".")
    try:
        kind = getattr(import_module(room), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ModelError(f"names the class {path}, which is not to be had here") from error
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ModelError(f"names {path}, which is no network")
    return kind


def _build_parts(value: Any, trust: bool) -> Any:
    if isinstance(value, dict):
        if "class_path" in value:
            return build(value, trust=trust)
        return {key: _build_parts(one, trust) for key, one in value.items()}
    if isinstance(value, list):
        return [_build_parts(one, trust) for one in value]
    return value


def essence(words: Mapping[str, Any]) -> dict[str, Any]:
    """Reduce a description to what decides what its network does: arguments that are no defaults, in plain values.

    Arguments that a class names in `learning_arguments` say only how it learns, and are left out.

    Raises:
        ModelError: a class is not to be had.
    """
    kind = find_class(str(words.get("class_path")))
    defaults = {name: known.default for name, known in inspect.signature(kind).parameters.items()}
    aside: frozenset[str] = getattr(kind, "learning_arguments", frozenset())
    given = {name: _essence(value) for name, value in (words.get("init_args") or {}).items() if name not in aside}
    kept = {name: value for name, value in given.items() if name not in defaults or value != _plain(defaults[name])}
    return {"class_path": words["class_path"], "init_args": kept}


def _essence(value: Any) -> Any:
    if isinstance(value, Mapping):
        return essence(value) if "class_path" in value else {str(key): _essence(one) for key, one in value.items()}
    return [_essence(one) for one in value] if isinstance(value, list | tuple) else _plain(value)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def one_line(what: Any) -> str:
    """Give anything in one line of at most 300 characters."""
    try:
        text = str(what)
    except ValueError:  # a whole number of too many digits
        text = ""
    return " ".join((text or type(what).__name__).split())[:300]
