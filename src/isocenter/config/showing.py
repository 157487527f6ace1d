"""The resolved settings as TOML, for a person: secrets masked, the source of each beside it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from isocenter.config.entries import from_preset
from isocenter.config.settings import Settings

MASK = "********"
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_URL_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):([^@\s]*)@")


def show(settings: Settings, origins: Mapping[str, str] | None = None) -> str:
    """A TOML document that, but for its masked secrets, gives the same settings when it is read."""
    given = {f"ae[{n}].{name}": f"preset {ae.preset}" for n, ae in enumerate(settings.aes) for name in from_preset(ae)}
    lines = _table(masked(settings), "", {**given, **(origins or {})})
    return "\n".join(lines).strip() + "\n"


def masked(settings: Settings) -> dict[str, Any]:
    """The settings as plain values, with every secret replaced and passwords taken out of URLs."""
    return _plain(settings)


def _plain(struct: msgspec.Struct) -> dict[str, Any]:
    secrets = {name for name, hint in get_type_hints(type(struct), include_extras=True).items() if _secret(hint)}
    plain: dict[str, Any] = {}
    for info in msgspec.structs.fields(struct):
        value = getattr(struct, info.name)
        plain[info.encode_name] = _mask(value) if info.name in secrets and value else _value(value)
    return plain


def _secret(hint: Any) -> bool:
    return any(isinstance(a, msgspec.Meta) and bool(a.extra and a.extra.get("secret")) for a in get_args(hint))


def _mask(value: str) -> str:
    if "://" in value:
        return _URL_PASSWORD.sub(rf"\1:{MASK}@", value)
    return MASK


def _value(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return _plain(value)
    if isinstance(value, tuple):
        return [_value(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def _table(values: Mapping[str, Any], prefix: str, origins: Mapping[str, str]) -> Iterator[str]:
    for key, value in values.items():
        if value is not None and not _is_table(value):
            origin = origins.get(f"{prefix}{key}")
            yield f"{key} = {_toml(value)}" + (f"  # {origin}" if origin else "")
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from ("", f"[{prefix}{key}]")
            yield from _table(value, f"{prefix}{key}.", origins)
        elif _is_table(value):
            for number, row in enumerate(value):
                yield from ("", f"[[{prefix}{key}]]")
                yield from _row(row, f"{prefix}{key}[{number}].", origins)


def _row(row: Mapping[str, Any], prefix: str, origins: Mapping[str, str]) -> Iterator[str]:
    for key, value in row.items():
        origin = next((origin for path, origin in origins.items() if _names(path, f"{prefix}{key}")), "")
        note = f"  # {origin}" if origin else ""
        if isinstance(value, Mapping):
            yield f"{key} = {{ {', '.join(f'{k} = {_toml(v)}' for k, v in value.items())} }}{note}"
        elif value is not None:
            yield f"{key} = {_toml(value)}{note}"


def _names(path: str, setting: str) -> bool:
    return path == setting or path.startswith(f"{setting}.")


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_toml(v) for v in value)}]"
    if isinstance(value, Mapping):
        pairs = (f"{_toml_key(key)} = {_toml(v)}" for key, v in value.items() if v is not None)
        return f"{{ {', '.join(pairs)} }}"
    return msgspec.json.encode(value).decode()


def _toml_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else msgspec.json.encode(key).decode()
