"""One hosted AE or one peer by itself, from a row of the database or the words of a command: the same keys, the same
checks and the same messages as in the file."""

import ipaddress
from collections.abc import Iterable, Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import msgspec

from isocenter.config.settings import HostedAE, Peer
from isocenter.config.sources import check_keys, field_of, plain, unknown
from isocenter.declarations import presets
from isocenter.errors import ConfigurationError

Kind = Literal["ae", "peer"]
"""The name of the table in the file."""
Entry: TypeAlias = HostedAE | Peer
_STRUCTS: Final[Mapping[Kind, type[Entry]]] = MappingProxyType({"ae": HostedAE, "peer": Peer})


def entry(kind: Kind, values: Mapping[str, Any], *, origin: str) -> Entry:
    """The AE or peer of plain values, checked. ConfigurationError names `origin` and the key that is wrong."""
    check_keys(values, _STRUCTS[kind], origin=origin, prefix=f"{kind}.")
    try:
        full = with_preset(values) if kind == "ae" else values
        row: Entry = msgspec.convert(full, _STRUCTS[kind], strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{origin}: {kind}.{where(str(error))}") from error
    check_entry(row)
    return row


def with_preset(values: Mapping[str, Any]) -> dict[str, Any]:
    """The plain values of an AE with those of its preset under them."""
    preset = str(values.get("preset", "default"))
    if (now := presets.RENAMED.get(preset)) is not None:
        raise ConfigurationError(f"ae.preset: {preset!r} is called {now!r} now")
    return presets.under(preset, values)


def from_preset(ae: HostedAE) -> dict[str, str]:
    """The settings of `ae` that are as its preset has them, dotted, and where the source says so."""
    return {name: given.source for name, given in presets.FIELDS[ae.preset].items() if _at(ae, name) == given.value}


def _at(ae: HostedAE, name: str) -> Any:
    found: Any = ae
    for step in name.split("."):
        found = getattr(found, step)
    return found


def check_entry(row: Entry) -> None:
    """Refuse a title or an address that can't be one."""
    kind = "peer" if isinstance(row, Peer) else "ae"
    if problem := title_problem(row.title):
        raise ConfigurationError(f"{kind}.title: {row.title!r} {problem}")
    for alias in row.aliases if isinstance(row, Peer) else ():
        if problem := title_problem(alias):
            raise ConfigurationError(f"peer.aliases: {alias!r} {problem}")
    for address in row.addresses if isinstance(row, Peer) else ():
        try:
            ipaddress.ip_network(address, strict=False)
        except ValueError as error:
            raise ConfigurationError(f"peer.addresses: {address!r} is no address or network") from error


def title_problem(title: str) -> str:
    """What is wrong with an AE title (PS3.5 6.2, AE), or nothing."""
    if title != title.strip(" ") or not title:
        return "begins or ends with a space, or is empty"
    if len(title) > 16:
        return "is longer than 16 characters"
    if any(not " " <= c <= "~" or c == "\\" for c in title):
        return "has a character that an AE title can't have"
    return ""


def assigned(kind: Kind, values: Mapping[str, Any], words: Iterable[str]) -> dict[str, Any]:
    """`values` with what words such as `allow=store,find` or `responses.study=500` say laid over them."""
    found = deepcopy(dict(values))
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ConfigurationError(f"{word!r} is not of the form KEY=VALUE")
        path = _path(kind, name)
        setting = field_of(_STRUCTS[kind], path)
        assert setting is not None
        if isinstance(setting, msgspec.inspect.StructType):
            raise ConfigurationError(f"{name} is a table: give its keys, as in {name}.KEY=VALUE")
        branch = found
        for step in path[:-1]:
            branch = branch.setdefault(step, {})
        branch[path[-1]] = plain(name, setting, text)
    return found


def unassigned(kind: Kind, values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """`values` without these keys, which so have their defaults again."""
    found = deepcopy(dict(values))
    for name in names:
        *steps, key = _path(kind, name)
        branch: Any = found
        for step in steps:
            branch = branch.get(step, {})
        branch.pop(key, None)
    return found


def _path(kind: Kind, name: str) -> list[str]:
    path = name.split(".")
    if field_of(_STRUCTS[kind], path) is None:
        raise ConfigurationError(unknown(f"{kind}.{name}", _STRUCTS[kind], f"{kind}."))
    return path


def where(message: str) -> str:
    """A message of msgspec's with the key first."""
    what, _, path = message.partition(" - at `$")
    return f"{path.rstrip('`').lstrip('.')}: {what}" if path else what
