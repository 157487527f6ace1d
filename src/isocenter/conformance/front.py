"""Sections 1 to 3: the overview in lay words with its tables, the contents, the introduction (C-TPL-0 to -3)."""

from collections.abc import Iterable, Sequence

from isocenter.config import Settings
from isocenter.conformance.facts import ClassRow, Entity, classes, name_of
from isocenter.conformance.model import Bullets, Paragraph, Product, Row, Section, Table
from isocenter.conformance.templates import table
from isocenter.conformance.vocabulary import ABBREVIATIONS, TERMS
from isocenter.declarations import sop_classes
from isocenter.declarations.overview import OVERVIEW, STORAGE_SERVICE, Overview, overview_of
from isocenter.dicom import uids


def overview(product: Product, settings: Settings, entities: Sequence[Entity]) -> Section:
    """Section 1: what the product does for whom, the network services and the media services."""
    united = _united(entities)
    services = table("network-services", "Table 1-1. Network services", _services(settings, united))
    media = table("media-services", "Table 1-2. Media services", [("None", "No", "No")])
    shown = [row.uid for row in united] + ([STORAGE_SERVICE] if _any_storage(settings) else [])
    categories = [(uid, name_of(uid), overview_of(uid)) for uid in shown if uid != uids.VERIFICATION and _known(uid)]
    return Section(
        "Conformance Statement Overview",
        (*map(Paragraph, _lay_words(product, entities)), services, media),
        (
            Section(
                "Categories of the services",
                (table("uid-categories", "Table 1-3. Categories of the UIDs above", categories),),
                role="1.2",
            ),
        ),
        role="1",
    )


def _lay_words(product: Product, entities: Sequence[Entity]) -> list[str]:
    offered = {activity.service for entity in entities if entity.ae for activity in entity.activities}
    able = [text for service, text in _ABLE if service in offered]
    return [
        f"{product.name} is an archive for medical images and related documents. Scanners, workstations and other "
        f"systems in a hospital's network work with it: it {_list(able)}.",
        "What it receives is kept exactly as it came, on disk before receipt is confirmed, and can be given back in "
        "the same form years later. Corrections are kept beside the originals and applied when an object leaves.",
        "Its administrators send objects, ask other systems what they hold, and fetch from them, by commands. It does "
        "not write or read exchangeable media.",
    ]


_ABLE = (
    ("store", "takes in what they send"),
    ("find", "answers their questions about what it holds"),
    ("move", "sends what they ask for, to them or to others"),
    ("get", "hands out what they ask for"),
    ("commit", "confirms on request that it will keep what it was given"),
    ("", "answers whether it can be reached"),
)


def _list(texts: Sequence[str]) -> str:
    return f"{', '.join(texts[:-1])}, and {texts[-1]}" if len(texts) > 1 else texts[0]


def _any_storage(settings: Settings) -> bool:
    return any(ae.storage == "any" and not ae.sop_classes and "store" in ae.services for ae in settings.aes)


def _known(uid: str) -> bool:
    return uid == STORAGE_SERVICE or uid in sop_classes.registry()


def _united(entities: Iterable[Entity]) -> list[ClassRow]:
    """The classes of all AEs, with the roles that any of them has (C-CHK-07)."""
    found: dict[str, ClassRow] = {}
    for entity in entities:
        for row in classes(entity):
            before = found.get(row.uid, ClassRow(row.uid, False, False))
            found[row.uid] = ClassRow(row.uid, before.scu or row.scu, before.scp or row.scp)
    return list(found.values())


def _services(settings: Settings, united: Sequence[ClassRow]) -> list[Row]:
    rows: list[Row] = []
    for heading in OVERVIEW:
        own = [row for row in united if row.uid != uids.VERIFICATION and _heading(row.uid) == heading]
        if not own:
            continue
        rows.append((heading,))
        if heading == "Transfer" and _any_storage(settings):
            rows.append(("All services of the Storage Service Class", "Yes", "Yes"))
        rows += [(name_of(row.uid), yes(row.scu), yes(row.scp)) for row in own]
    return rows


def _heading(uid: str) -> Overview:
    return overview_of(uid) if _known(uid) else "Transfer"


def yes(truth: bool) -> str:
    """Yes or No."""
    return "Yes" if truth else "No"


def contents() -> Section:
    """Section 2; each writer makes its own list."""
    return Section("Table of Contents", role="2")


def introduction(product: Product, used: str) -> Section:
    """Section 3. `used` is all the text of the other sections: only the abbreviations in it are explained."""
    return Section(
        "Introduction",
        (
            Paragraph(
                f"This statement was written by {product.name} itself, from the settings and declarations that the "
                "running program acts on. It describes this installation as it is configured."
            ),
        ),
        (
            Section(
                "Revision History",
                (table("revisions", "Table 3-1. Revision history", product.revisions),),
                role="3.1",
            ),
            Section(
                "Audience",
                (
                    Paragraph(
                        "For those who plan networks and connect systems in hospitals, who sell and service them, and "
                        "who write software. They are taken to know the terms of DICOM."
                    ),
                ),
                role="3.2",
            ),
            Section("Remarks", (Bullets(_remarks(product)),), role="3.3"),
            Section("Terms and Definitions", (Table("Table 3-2. Terms", ("Term", "Meaning"), TERMS),), role="3.4"),
            Section("Basics of DICOM Communication", tuple(map(Paragraph, _BASICS)), role="3.5"),
            Section(
                "Abbreviations",
                (
                    Table(
                        "Table 3-3. Abbreviations",
                        ("Abbreviation", "Meaning"),
                        tuple(row for row in ABBREVIATIONS if row[0] in used),
                    ),
                ),
                role="3.6",
            ),
            Section(
                "References",
                (
                    Bullets(
                        (
                            "Digital Imaging and Communications in Medicine (DICOM) Standard, National Electrical "
                            "Manufacturers Association, Rosslyn, VA, USA; free at "
                            "https://www.dicomstandard.org/current",
                            f"{product.name}: the guide that comes with the program (docs/)",
                        )
                    ),
                ),
                role="3.7",
            ),
        ),
        role="3",
    )


def _remarks(product: Product) -> tuple[str, ...]:
    return (
        f"This document tells which services of the DICOM Standard {product.name} uses and provides, and how. It makes "
        "no claim beyond that.",
        "Comparing the statements of two products is a first step to learn whether they can exchange information; it "
        "does not show that they will work together as wanted. That has to be tested in their own surroundings.",
        "The Standard grows. Whoever connects another product is asked to compare the editions that both follow.",
        "Whether the information of one product suits the purpose of another is for the users of both to judge.",
    )


_BASICS = (
    "Two programs, Application Entities, that want to exchange something first open an association. The one that asks "
    "for it names itself and the other by their titles, and proposes presentation contexts: what it wants to do "
    "(abstract syntax), and how data may be encoded for it (transfer syntaxes). The other accepts or refuses each, "
    "choosing one transfer syntax. Both tell how long a packet they take.",
    "For each context one side uses the service (SCU) and the other provides it (SCP); ordinarily the one that asked "
    "for the association is the user, unless the roles are negotiated otherwise.",
    "Then requests go one way and responses the other, each with a status: success, pending, warning, or failure. In "
    "the end the association is released, or aborted where something went wrong.",
)
