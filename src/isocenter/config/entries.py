"""One hosted AE or one peer by itself, from a row of the database or the words of a command: the same keys, the same
checks and the same messages as in the file."""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import msgspec

from isocenter.config.reconciling import Reconciling
from isocenter.config.settings import HostedAE, Peer
from isocenter.config.sources import check_keys, field_of, fields_of, plain, unknown
from isocenter.declarations import presets
from isocenter.declarations.reconciling import COMPARED, TAKEN
from isocenter.dicom.charset import unknown_terms
from isocenter.dicom.uids import is_regular
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
        raise ConfigurationError(f"{origin}: {kind}.{where(str(error), _STRUCTS[kind])}") from error
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
    """Refuse a title, an address, a character set or a UID that can't be one."""
    if isinstance(row, Peer):
        _check_peer(row)
    else:
        _check_ae(row)


def _check_ae(ae: HostedAE) -> None:
    _check_titles("ae.title", (ae.title,))
    _check_terms("ae.character_set", ae.character_set)
    _check_uids("ae.classes", ae.classes)
    _check_uids("ae.syntaxes", ae.syntaxes)
    _check_reconciling(ae.reconciling)


def _check_reconciling(settings: Reconciling) -> None:
    for key, listed, known in (
        ("match", settings.match, COMPARED),
        ("needed", settings.needed, COMPARED),
        ("agree", settings.agree, COMPARED),
        ("leave", settings.leave, [*(taken.keyword for taken in TAKEN), "RequestAttributesSequence"]),
    ):
        for name in listed:
            if name not in known:
                raise ConfigurationError(f"ae.reconciling.{key}: {name!r} is none of {', '.join(known)}")


def _check_peer(peer: Peer) -> None:
    _check_titles("peer.title", (peer.title,))
    _check_titles("peer.aliases", peer.aliases)
    for address in peer.addresses:
        try:
            ipaddress.ip_network(address, strict=False)
        except ValueError as error:
            raise ConfigurationError(f"peer.addresses: {address!r} is no address or network") from error
    _check_terms("peer.character_set", peer.character_set)
    _check_terms("peer.character_set_sent", peer.character_set_sent)
    _check_uids("peer.syntaxes", peer.syntaxes)
    for each in peer.syntax_priority:
        _check_uids("peer.syntax_priority", (each.stored, *each.send))


def _check_titles(key: str, titles: Iterable[str]) -> None:
    for title in titles:
        if problem := title_problem(title):
            raise ConfigurationError(f"{key}: {title!r} {problem}")


def _check_terms(key: str, value: str) -> None:
    if value and (unknown_here := unknown_terms(value)):
        raise ConfigurationError(f"{key}: {unknown_here[0]!r} is no term of Specific Character Set")


def _check_uids(key: str, listed: Iterable[str]) -> None:
    """Only their form: private classes and syntaxes may be named."""
    for uid in listed:
        if not is_regular(uid):
            raise ConfigurationError(f"{key}: {uid!r} is no UID")


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


def where(message: str, struct: type) -> str:
    """A message of msgspec's with the key first; where one of a few values is wanted, with those."""
    what, _, path = message.partition(" - at `$")
    name = path.rstrip("`").lstrip(".")
    if not name:
        return what
    wanted = _choices(struct, _INDEX.sub("", name).split(".")) if what.startswith("Invalid enum value") else ()
    return f"{name}: {what}" + (f"; it is one of {', '.join(map(repr, wanted))}" if wanted else "")


_INDEX: Final = re.compile(r"\[[^]]*]")


def _choices(struct: type, path: list[str]) -> tuple[Any, ...]:
    """The values that a setting may have, where they are a few."""
    kind: Any = struct
    for step in path:
        kind = _within(fields_of(getattr(kind, "cls", kind)).get(step))
        if kind is None:
            return ()
    return tuple(filter(None, kind.values)) if isinstance(kind, msgspec.inspect.LiteralType) else ()


def _within(kind: Any) -> Any:
    """What an array holds, and a type without its limits."""
    while (inner := getattr(kind, "item_type", None) or getattr(kind, "type", None)) is not None:
        kind = inner
    return kind
