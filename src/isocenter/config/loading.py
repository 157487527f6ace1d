"""From sources to checked settings."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from isocenter.config import hl7_checks
from isocenter.config.entries import check_entry, where, with_preset
from isocenter.config.settings import HostedAE, Peer, Settings
from isocenter.config.sources import FILE_NAME, Tree, check_keys, from_environment, from_file
from isocenter.declarations.indexed_attributes import configured_keys
from isocenter.errors import ConfigurationError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?)B?")
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}
_SIZES = (
    ("free_space_floor",),
    ("limits", "object"),
    ("limits", "identifier"),
    ("http", "max_body"),
    ("imaging", "frame"),
    ("imaging", "memory"),
    ("hl7", "largest"),
)


@dataclass(frozen=True)
class Loaded:
    """Settings and where each came from (dotted path -> source); what is not listed is a default."""

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None


def load(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings of this installation, checked. `overrides` are the command line's, None values left out."""
    return load_with_origins(file, environment, overrides).settings


def load_with_origins(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Loaded:
    """As `load`, with the source of each setting."""
    env = os.environ if environment is None else environment
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    check_keys(given, Settings, origin="command line")
    variables = from_environment(env)
    path = _file(file, env, Path(given.get("data") or variables.get("data") or Settings().data))
    tree = Tree()
    if path is not None:
        tree.add(from_file(path), f"file {path}")
    tree.add(variables, "environment")
    tree.add(given, "command line")
    settings = build(tree.values)
    check(settings)
    return Loaded(settings, tree.origins, path)


def _file(given: Path | None, environment: Mapping[str, str], data: Path) -> Path | None:
    if given is not None:
        return given
    if named := environment.get("ISOCENTER_CONFIG"):
        return Path(named)
    beside = data / FILE_NAME
    return beside if beside.is_file() else None


def build(values: Mapping[str, Any]) -> Settings:
    """The struct of a tree of plain values; texts are read as numbers and truth values where those are wanted."""
    tree = dict(values)
    for path in _SIZES:
        _read_size(tree, path)
    if isinstance(rows := tree.get("ae"), list):
        tree["ae"] = [with_preset(row) if isinstance(row, Mapping) else row for row in rows]
    try:
        settings = msgspec.convert(tree, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise ConfigurationError(where(str(error), Settings)) from error
    return msgspec.structs.replace(settings, data=settings.data.expanduser())


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str | Path) and str(value):
        return Path(value)
    raise TypeError(f"Expected a {kind.__name__.lower()}")


def _read_size(tree: dict[str, Any], path: tuple[str, ...]) -> None:
    *branches, key = path
    for branch in branches:
        if not isinstance(tree.get(branch), Mapping):
            return
        tree[branch] = tree = dict(tree[branch])
    value = tree.get(key)
    if not isinstance(value, str):
        return
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ConfigurationError(f'{".".join(path)}: {value!r} is no size such as 500000000, "500 MB" or "1 GiB"')
    number, power, binary = match.groups()
    tree[key] = int(float(number) * (1024 if binary else 1000) ** _POWERS[power])


def check(settings: Settings) -> None:
    """Refuse what contradicts itself or opens the archive to a network by accident."""
    _check_titles(settings)
    _check_database(settings.database)
    configured_keys(settings.index.attributes)
    _check_standard(settings.standard)
    hl7_checks.check(settings.hl7)
    if not settings.loopback and not settings.insecure:
        _check_beyond_loopback(settings)


def _check_titles(settings: Settings) -> None:
    if not settings.aes:
        raise ConfigurationError("ae: at least one AE must be hosted")
    titles = [ae.title for ae in settings.aes]
    for ae in settings.aes:
        check_entry(ae)
    for peer in settings.peers:
        check_entry(peer)
    if settings.aes[0].role != "archive":
        raise ConfigurationError(
            f"ae.role: {titles[0]!r} comes first, and what is received over HTTP is filed under it: name an AE of role "
            "archive before it"
        )
    if settings.http.ae and settings.http.ae not in titles:
        raise ConfigurationError(f"http.ae: no AE {settings.http.ae!r} is hosted here; [[ae]] has {', '.join(titles)}")
    for title in titles:
        if titles.count(title) > 1:
            raise ConfigurationError(f"ae.title: {title!r} is given twice")
    seen: set[tuple[str, str]] = set()
    for peer in settings.peers:
        if (peer.title, peer.host) in seen:
            raise ConfigurationError(f"peer.title: {peer.title!r} at {peer.host!r} is given twice")
        seen.add((peer.title, peer.host))


def _check_database(url: str) -> None:
    scheme = url.partition(":")[0]
    if url and scheme.partition("+")[0] not in ("sqlite", "postgresql", "postgres"):
        raise ConfigurationError(f"database: {scheme!r} is neither sqlite nor postgresql")


def _check_standard(folder: str) -> None:
    """Only what can be seen at a glance: the processes that validate read the tables themselves."""
    if not folder:
        return
    if not any(Path(folder).glob("[0-9][0-9][0-9][0-9][a-h]/*/")):
        raise ConfigurationError(f"standard: there are no tables of the standard in {folder}")
    if find_spec("dicom_validator") is None:
        raise ConfigurationError("standard: dicom-validator is not installed (`pip install isocenter[validate]`)")


def _check_beyond_loopback(settings: Settings) -> None:
    if not settings.dicom_policy and not settings.peers and any(_guarded(settings, ae) for ae in settings.aes):
        raise ConfigurationError(
            f"host: {settings.host} can be reached by others, and the DICOM port would know no peer. "
            'Add [[peer]] tables; or set dicom_policy = "known-peers" if all of them are in the database '
            '(`isocenter peer add`); or dicom_policy = "open", or insecure = true'
        )
    if settings.hl7.listen and not settings.hl7_senders_known:
        raise ConfigurationError(
            f"hl7.listen: {settings.host} can be reached by others, and no sender of HL7 messages would be known. "
            "Add [[hl7.feed]] tables with addresses, or hl7.tls_port, where senders show certificates; or set "
            "insecure = true"
        )
    if settings.http.open:
        raise ConfigurationError(
            f"http.open: {settings.host} can be reached by others, where only insecure = true leaves HTTP open"
        )


def _guarded(settings: Settings, ae: HostedAE) -> bool:
    return settings.policy_of(ae) != "open"


def may_call_from(peer: Peer, address: str) -> bool:
    """Whether `peer` may call from `address`, by its `addresses` alone (its host's name is looked up elsewhere)."""
    own = ipaddress.ip_address(address)
    return any(own in ipaddress.ip_network(network, strict=False) for network in peer.addresses)
