"""Sections 4.3 and 4.4: network interfaces, AE titles and addresses, parameters (C-GEN-11, C-GEN-12)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from isocenter.config import HostedAE, Settings
from isocenter.config.explaining import explanations, without_ids
from isocenter.config.showing import masked
from isocenter.conformance.facts import Entity
from isocenter.conformance.model import Bullets, Paragraph, Row, Section, Table
from isocenter.conformance.templates import table
from isocenter.imaging.picture import MEDIA_TYPES


def interfaces(settings: Settings, web: Sequence[Row] = ()) -> Section:
    """Section 4.3. `web`: resource, method, transaction, media types taken and answered of each transaction."""
    return Section(
        "Network Interfaces",
        sections=(
            Section(
                "Physical Network Interface",
                (
                    Paragraph("The program uses the TCP/IP of its operating system, and what that drives."),
                    table("physical-interfaces", "Table 4.3-1. Physical network interfaces",
                          [("Any that the operating system supports, such as Ethernet 100baseT and faster",)]),
                ),
                role="4.3.1",
            ),
            Section("Additional Protocols", _protocols(settings), role="4.3.2"),
            Section(
                "IPv4 and IPv6 Support",
                (
                    Paragraph(
                        "IPv4 and IPv6 are both supported; which of them is listened on follows from the setting "
                        "`host`. None of the optional security features of IPv6 is used or configured by the program."
                    ),
                ),
                role="4.3.3",
            ),
            *([_web_services(web)] if web else []),
        ),
        role="4.3",
    )  # fmt: skip


_WEB_COLUMNS = ("Resource", "Method", "Transaction", "Media types of requests", "Media types of responses")


def _web_services(web: Sequence[Row]) -> Section:
    return Section(
        "Web Services",
        (
            Paragraph(
                "As origin server of PS3.18 the program offers these transactions. What it answers to "
                "a retrieval of capabilities is made of the same list."
            ),
            Table("Table 4.3-4. Transactions of the web services", _WEB_COLUMNS, tuple(web)),
        ),
        role="4.3.4",
    )


def _protocols(settings: Settings) -> tuple[Any, ...]:
    rows = [
        ("Basic Time Synchronization", "none", "none: the clock of the operating system is used", "None", "None"),
        ("Network Address Management", "none", "none: the operating system obtains addresses", "None", "None"),
        ("Application Configuration Management", "none", "none: settings come from file and database", "None", "None"),
    ]
    return (
        table("management-profiles", "Table 4.3-2. System management profiles", rows),
        Bullets(
            (
                "DNS: the names of peers are looked up by the resolver of the operating system, and looked up again "
                "when an association is opened; for callers an answer counts for a minute. A host's name has no "
                "relation to AE titles.",
                "DHCP: address and name of the host are the operating system's affair; the program listens on the "
                "address that `host` names. Its conformance depends on none of the parameters of DHCP.",
                "NTP: the program sets no clock; times that it writes itself are those of the operating system.",
                "LDAP: not used.",
                f"HTTP: DICOMweb (QIDO-RS, WADO-RS, STOW-RS; PS3.18) is served on port {settings.http_port}; the guide "
                "describes its resources.",
                f"Pictures: rendered resources and thumbnails of WADO-RS come as {', '.join(MEDIA_TYPES)}; "
                "encapsulated documents and videos in the media type that they have.",
                "WADO-URI (PS3.18 chapter 9) is served at /wado on the same port, with all its parameters but charset.",
                "WADO-WS (PS3.18-2017a 6.4, IHE RAD-69) is served at /wado-ws, in SOAP 1.2 and 1.1 with MTOM; nothing "
                "is anonymized, answers are never asynchronous.",
                "Storage commitment over HTTP (PS3.18 chapter 13) follows the commitment service of the first AE.",
            )
        ),
        table("dhcp", "Table 4.3-3. Supported DHCP parameters", [("None", "")]),
    )


def configuration(settings: Settings, entities: Sequence[Entity]) -> Section:
    """Section 4.4."""
    return Section(
        "Configuration",
        (
            Paragraph(
                "Settings come from a file, the environment and the command line; AEs and peers also from the "
                "database, where commands change them at run time. What is listed here is what this installation was "
                "configured with when the statement was written."
            ),
        ),
        (
            Section(
                "AE Title/Presentation Address Mapping",
                sections=(
                    Section("Local AE Titles", _local(settings, entities), role="4.4.1.1"),
                    Section("Remote AE Title/Presentation Address Mapping", _remote(settings), role="4.4.1.2"),
                ),
                role="4.4.1",
            ),
            Section("Parameters", sections=tuple(_parameters(settings, entities)), role="4.4.2"),
        ),
        role="4.4",
    )


def _local(settings: Settings, entities: Sequence[Entity]) -> tuple[Any, ...]:
    rows = [
        (e.name, e.title, ", ".join(map(str, e.ports)) or "none (it does not accept associations)") for e in entities
    ]
    roles = [
        (e.name, "SCP and SCU" if e.accepting and e.initiating else "SCP" if e.accepting else "SCU", *row[1:])
        for e, row in zip(entities, rows, strict=True)
    ]
    secured = (
        f" Associations over TLS are accepted on port {', '.join(map(str, settings.tls.ports))}."
        if settings.tls.ports
        else ""
    )
    return (
        table("ae-titles", "Table 4.4-1. AE titles", rows),
        table("ae-characteristics", "Table 4.4-2. Characteristics of the AEs", roles),
        Paragraph(
            "Each AE has one title of its own, which is configured. Ports that an AE does not have of its own are "
            f"shared by all AEs.{secured} No LDAP server is asked for titles nor updated."
        ),
        table("ldap-obtained", "Table 4.4-3. Configuration obtained from an LDAP server", [("None", "", "")]),
        table("ldap-updated", "Table 4.4-4. Configuration updated on an LDAP server", [("None", "", "", "")]),
    )  # fmt: skip


def _remote(settings: Settings) -> tuple[Any, ...]:
    columns = ("AE Title", "Host", "Port", "May ask for", "Transfer syntaxes preferred")
    rows = tuple(
        (
            "\n".join((peer.title, *peer.aliases)), peer.host or "any", str(peer.port) if peer.host else "",
            ", ".join(peer.allow), ", ".join(peer.syntaxes) or "as stored",
        )
        for peer in settings.peers
    )  # fmt: skip
    return (
        Paragraph(
            "Remote AEs are configured by title, with host and port where associations are to be opened to them, and "
            "the addresses that they may call from. Several may share a title at several addresses. There is one kind "
            "of remote AE: what each may be used for follows from what it is allowed and from what it accepts."
        ),
        Table(
            "Table 4.4-5. Remote AEs that are configured", columns, rows or (("None", "", "", "", ""),), "remote-aes"
        ),
    )


_BASELINE = (
    ("Time-out waiting for acceptance or rejection of an association request", "artim", "s"),
    ("General DIMSE level time-out: until the rest of a message", "dimse", "s"),
    ("General DIMSE level time-out: until a response", "response", "s"),
    ("General DIMSE level time-out: an association without any message", "idle", "s"),
    ("Time-out waiting for response to a TCP/IP connect request", "connect", "s"),
    ("Time-out waiting for acceptance of a TCP/IP message over the network", "send", "s"),
    ("Time-out waiting for data between TCP/IP packets", "dimse", "s"),
)
_PER_AE = (
    ("Size constraint in maximum object size", "object", "bytes; 0: none"),
    ("Maximum PDU size the AE can receive", "max_pdu", "bytes"),
    ("Maximum PDU size the AE can send", "max_pdu_sent", "bytes"),
    ("AE specific DIMSE level time-out: until the rest of a message", "dimse", "s"),
    ("AE specific DIMSE level time-out: until a response", "response", "s"),
    ("Number of simultaneous associations by service and/or SOP Class", "associations", "in all; none by service"),
)


def _parameters(settings: Settings, entities: Sequence[Entity]) -> Iterator[Section]:
    limits = settings.limits
    rows: list[Row] = [
        (f"{text} (`limits.{name}`)", "Yes", f"{_number(getattr(limits, name))} {unit}")
        for text, name, unit in _BASELINE
    ]
    rows.append(("Changes to default TCP/IP settings: TCP_NODELAY and TCP_QUICKACK", "No", "on"))
    rows.append(("Other configurable parameters",))
    rows += _settings_rows(settings)
    yield Section(
        "General Parameters",
        (table("parameters", "Table 4.4-6. General parameters", rows, about="general"),),
        role="4.4.2.1",
    )
    for n, entity in enumerate((e for e in entities if e.ae is not None), 7):
        assert entity.ae is not None
        yield Section(
            f"Parameters of {entity.name}",
            (table("parameters", f"Table 4.4-{n}. Parameters of {entity.title}",
                   _ae_rows(settings, entity.ae), ae=entity.title),),
            role="4.4.2.x",
        )  # fmt: skip


def _ae_rows(settings: Settings, ae: HostedAE) -> list[Row]:
    rows: list[Row] = []
    for text, name, unit in _PER_AE:
        own = getattr(ae, name)
        general = settings.limits.associations if name == "associations" else getattr(settings.limits, name)
        rows.append((f"{text} (`ae.{name}`)", "Yes", f"{_number(own if own else general)} {unit}"))
    rows.append(("SOP Class support (`ae.services`, `ae.storage`, `ae.classes`, `ae.sop_classes`)", "Yes", _listed(ae)))
    syntaxes = f"{len(ae.syntaxes)} named" if ae.syntaxes else "all that are known, in the preset's order"
    rows.append(("Transfer Syntax support (`ae.syntaxes`)", "Yes", syntaxes))
    rows.append(("Other configurable parameters",))
    return rows + list(_rows(ae, HostedAE(), "ae."))


def _listed(ae: HostedAE) -> str:
    return f"{', '.join(ae.services)}; storage classes: {ae.storage}"


_APART = frozenset({"ae", "peer", "rule", "user", "http", "processes", "data", "database", "log_level"})
"""Told elsewhere in the statement, or without meaning for it."""


def _settings_rows(settings: Settings) -> Iterator[Row]:
    plain = msgspec.structs.replace(settings, aes=(), peers=(), rules=(), users=())
    yield from _rows(plain, Settings(aes=()), "")


def _rows(struct: Any, standard: Any, prefix: str) -> Iterator[Row]:
    """A row a setting; where this installation has another value than the default, that too."""
    told = explanations(type(struct))
    shown, empty = masked(struct), masked(standard)
    for info in msgspec.structs.fields(type(struct)):
        name = info.encode_name
        if not prefix and name in _APART:
            continue
        value = getattr(struct, info.name)
        if isinstance(value, msgspec.Struct):
            yield from _rows(value, getattr(standard, info.name), f"{prefix}{name}.")
            continue
        if isinstance(value, Path) or (isinstance(value, tuple) and value and isinstance(value[0], Path)):
            shown[name] = "configured"  # where files lie is nobody else's affair
        text = without_ids(told.get(info.name, ""))
        default, here = _value(empty.get(name)), _value(shown.get(name))
        yield (f"`{prefix}{name}`: {text}", "Yes", default if default == here else f"{default}\nhere: {here}")


def _value(value: Any) -> str:
    if value is None or value in ("", (), []):
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
