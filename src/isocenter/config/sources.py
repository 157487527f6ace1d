"""Where settings come from: defaults < TOML file < `ISOCENTER_*` variables < command line.

Each source gives a tree of plain values; later ones win, leaf by leaf. `Tree.origins` remembers which source each leaf
came from, for messages and `config show`.
"""

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from isocenter.config.settings import Settings
from isocenter.errors import ConfigurationError

PREFIX = "ISOCENTER_"
FILE_NAME = "isocenter.toml"
NOT_SETTINGS = frozenset({"BENCH", "CONFIG"})
"""Variables of ours that are no setting: `ISOCENTER_CONFIG` names the file, `ISOCENTER_BENCH` a folder of bench/.
Those with TEST_ are the tests'."""


@dataclass
class Tree:
    """Values by key, nested as the structs are, and the source of each leaf by its dotted path."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def add(self, values: Mapping[str, Any], origin: str) -> None:
        """Lay `values` over what is there. Tables merge; anything else, arrays too, replaces."""
        _merge(self.values, values)
        for path in _leaves(values):
            self.origins[path] = origin


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping):
            branch = into.get(key)
            into[key] = branch = dict(branch) if isinstance(branch, Mapping) else {}
            _merge(branch, value)
        else:
            into[key] = value


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def from_file(path: Path) -> dict[str, Any]:
    """The tree of a TOML file, with every key checked."""
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except FileNotFoundError as error:
        raise ConfigurationError(f"there is no file {path}") from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    check_keys(values, Settings, origin=str(path))
    return values


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """The tree of the `ISOCENTER_*` variables: `__` steps into a table, `_FILE` names a file that holds the value.

    Arrays are JSON, or texts separated by commas.
    """
    tree: dict[str, Any] = {}
    for name in sorted(environment):
        key = name.removeprefix(PREFIX)
        if key == name or key in NOT_SETTINGS or key.startswith("TEST_"):
            continue
        path, value = _variable(name, key, environment[name])
        branch = tree
        for step in path[:-1]:
            branch = branch.setdefault(step, {})
        branch[path[-1]] = value
    check_keys(tree, Settings, origin="environment")
    return tree


def _variable(name: str, key: str, text: str) -> tuple[list[str], Any]:
    path = key.lower().split("__")
    if field_of(Settings, path) is None and path[-1].endswith("_file"):
        path[-1] = path[-1].removesuffix("_file")
        text = _secret_file(name, text)
    setting = field_of(Settings, path)
    if setting is None:
        raise ConfigurationError(f"{name}: {unknown('.'.join(path), Settings)}")
    return path, plain(name, setting, text)


def _secret_file(name: str, text: str) -> str:
    try:
        return Path(text).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name}: cannot read {text}: {type(error).__name__}") from error


def plain(name: str, setting: msgspec.inspect.Type, text: str) -> Any:
    """The value of a setting given as `text`; `name` is for messages. Arrays are JSON or separated by commas."""
    if not isinstance(setting, msgspec.inspect.VarTupleType):
        return text
    if not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{name}: neither a JSON array nor texts separated by commas") from error


@cache
def fields_of(struct: Any) -> dict[str, msgspec.inspect.Type]:
    """The keys of a struct and the type of each, `Annotated` and metadata taken off."""
    inspected = msgspec.inspect.type_info(struct)
    assert isinstance(inspected, msgspec.inspect.StructType)
    return {f.encode_name: _bare(f.type) for f in inspected.fields}


def _bare(kind: msgspec.inspect.Type) -> msgspec.inspect.Type:
    return kind.type if isinstance(kind, msgspec.inspect.Metadata) else kind


def field_of(struct: Any, path: list[str]) -> msgspec.inspect.Type | None:
    """The type of the setting at `path`, or None where there is no such key."""
    kind = fields_of(struct).get(path[0])
    if len(path) == 1 or kind is None:
        return kind
    return field_of(kind.cls, path[1:]) if isinstance(kind, msgspec.inspect.StructType) else None


def check_keys(values: Mapping[str, Any], struct: Any, *, origin: str, prefix: str = "") -> None:
    """Refuse the first key that no setting has, naming it and the nearest that one has."""
    known = fields_of(struct)
    for key, value in values.items():
        kind = known.get(key)
        if kind is None:
            raise ConfigurationError(f"{origin}: {unknown(f'{prefix}{key}', struct, prefix)}")
        if isinstance(kind, msgspec.inspect.StructType) and isinstance(value, Mapping):
            check_keys(value, kind.cls, origin=origin, prefix=f"{prefix}{key}.")
        elif isinstance(kind, msgspec.inspect.VarTupleType) and isinstance(value, list):
            _check_rows(value, _bare(kind.item_type), origin, f"{prefix}{key}")


def _check_rows(rows: list[Any], kind: msgspec.inspect.Type, origin: str, path: str) -> None:
    if isinstance(kind, msgspec.inspect.StructType):
        for number, row in enumerate(rows):
            if isinstance(row, Mapping):
                check_keys(row, kind.cls, origin=origin, prefix=f"{path}[{number}].")


def all_keys(struct: Any, prefix: str = "") -> Iterator[str]:
    """Every key that can be set, dotted; the keys of `ae` and `peer` tables under `ae.` and `peer.`."""
    for key, kind in fields_of(struct).items():
        item = _bare(kind.item_type) if isinstance(kind, msgspec.inspect.VarTupleType) else kind
        yield f"{prefix}{key}"
        if isinstance(item, msgspec.inspect.StructType):
            yield from all_keys(item.cls, f"{prefix}{key}.")


def unknown(path: str, struct: Any, prefix: str = "") -> str:
    """That there is no setting `path`, and which is the nearest. `prefix` stands before the keys of `struct`."""
    candidates = [f"{prefix}{key}" for key in all_keys(struct)]
    near = difflib.get_close_matches(path, candidates, n=1, cutoff=0.5)
    if not near:
        last = path.rpartition(".")[2]
        near = [c for c in all_keys(Settings) if c.rpartition(".")[2] == last][:1]
    return f"there is no setting {path!r}" + (f"; the nearest is {near[0]!r}" if near else "")
