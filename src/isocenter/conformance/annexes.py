"""Section 8: what objects hold that are made, read or changed here, private items, codes (C-TPL-8, C-GEN-16, "
"C-GEN-17)."""

from collections.abc import Iterator, Sequence

from isocenter.config import Settings
from isocenter.config.coercion import Rule
from isocenter.conformance.facts import Entity
from isocenter.conformance.model import Block, Paragraph, Row, Section
from isocenter.conformance.templates import table
from isocenter.declarations import rejections, sop_classes
from isocenter.declarations.query_keys import Level, Place, keys_at
from isocenter.dicom import dictionary, uids


def annexes(settings: Settings, entities: Sequence[Entity]) -> Section:
    """The section."""
    return Section(
        "Annexes",
        sections=(
            Section(
                "IOD Contents",
                sections=(
                    Section("Created SOP Instances", tuple(_created()), role="8.1.1"),
                    Section("Usage of Attributes from Received IODs", tuple(_used()), role="8.1.2"),
                    Section("Attribute Mapping", (Paragraph(_MAPPING),), role="8.1.3"),
                    Section("Coerced/Modified Fields", tuple(_coerced(settings, entities)), role="8.1.4"),
                ),
                role="8.1",
            ),
            Section("Data Dictionary of Private Attributes", tuple(_private()), role="8.2"),
            Section("Coded Terminology and Templates", sections=tuple(_terminology()), role="8.3"),
            Section("Grayscale Image Consistency", (Paragraph(_GRAYSCALE),), role="8.4"),
            Section(
                "Standard Extended/Specialized/Private SOP Classes",
                tuple(map(Paragraph, _extended(settings))),
                role="8.5",
            ),
            Section("Private Transfer Syntaxes", tuple(map(Paragraph, _SYNTAXES)), role="8.6"),
        ),
        role="8",
    )


_MAPPING = (
    "No attributes cross from one service into instances of another: there is no worklist and no performed procedure "
    "step. What queries return is taken from the stored instances, as corrected."
)
_GRAYSCALE = (
    "The program displays no images. It neither supports nor affects the Grayscale Standard Display Function; values "
    "of pixels leave as they came."
)
_SYNTAXES = (
    "None are defined by this product. The private transfer syntaxes of other makers that section 4.2 lists are "
    "accepted for storage and kept as they come.",
)


def _created() -> Iterator[Block]:
    yield Paragraph(
        "Rejection notes are made: Key Object Selection Documents by which an operator rejects instances (IHE IOCM). A "
        "retrieval at FRAME level (PS3.4 Y) makes instances of some frames of another, in its series and with its "
        "attributes; they are sent and not kept. Everything else in the archive came from others."
    )
    modules = [
        ("Patient", "Patient", "PS3.3 C.7.1.1", "ALWAYS"),
        ("Study", "General Study", "PS3.3 C.7.2.1", "ALWAYS"),
        ("Series", "Key Object Document Series", "PS3.3 C.17.6.1", "ALWAYS"),
        ("Equipment", "General Equipment", "PS3.3 C.7.5.1", "ALWAYS"),
        ("Document", "Key Object Document", "PS3.3 C.17.6.2", "ALWAYS"),
        ("Document", "SR Document Content", "PS3.3 C.17.3", "ALWAYS"),
        ("Document", "SOP Common", "PS3.3 C.12.1", "ALWAYS"),
    ]
    yield table("created-modules", "Table 8.1-1. Modules of rejection notes", modules)
    yield table("created-attributes", "Table 8.1-2. Attributes of rejection notes", _NOTE)
    yield table("created-attributes", "Table 8.1-6. Attributes that instances of frames have anew", _FRAMES)


_FRAMES: Sequence[Row] = (
    ("SOPInstanceUID", "(0008,0018)", "UI", "of root 2.25", "ALWAYS", "AUTO"),
    ("NumberOfFrames", "(0028,0008)", "IS", "of the frames that were asked for", "ALWAYS", "AUTO"),
    (
        "FrameExtractionSequence",
        "(0008,1164)",
        "SQ",
        "the instance they are of, and the list or range",
        "ALWAYS",
        "AUTO",
    ),
    ("ContributingEquipmentSequence", "(0018,A001)", "SQ", "one more item: this product", "ALWAYS", "AUTO"),
)
_NOTE: Sequence[Row] = (
    ("SpecificCharacterSet", "(0008,0005)", "CS", "ISO_IR 192", "ALWAYS", "AUTO"),
    ("SOPClassUID", "(0008,0016)", "UI", rejections.KEY_OBJECT_SELECTION, "ALWAYS", "AUTO"),
    ("SOPInstanceUID", "(0008,0018)", "UI", "of root 2.25", "ALWAYS", "AUTO"),
    ("ContentDate, ContentTime", "(0008,0023) (0008,0033)", "DA TM", "of the rejection, in UTC", "ALWAYS", "AUTO"),
    ("TimezoneOffsetFromUTC", "(0008,0201)", "SH", "+0000", "ALWAYS", "AUTO"),
    ("Modality", "(0008,0060)", "CS", "KO", "ALWAYS", "AUTO"),
    ("Manufacturer", "(0008,0070)", "LO", "ISOCENTER", "ALWAYS", "AUTO"),
    ("Attributes of patient and study", "", "", "of the rejected instances, as the index has them", "VNAP", "AUTO"),
    ("StudyInstanceUID", "(0020,000D)", "UI", "of the rejected instances", "ALWAYS", "AUTO"),
    ("SeriesInstanceUID", "(0020,000E)", "UI", "of root 2.25", "ALWAYS", "AUTO"),
    ("SeriesNumber, InstanceNumber", "(0020,0011) (0020,0013)", "IS", "1", "ALWAYS", "AUTO"),
    ("ConceptNameCodeSequence", "(0040,A043)", "SQ", "a title of section 8.3", "ALWAYS", "USER"),
    ("ContentTemplateSequence", "(0040,A504)", "SQ", "DCMR 2010", "ALWAYS", "AUTO"),
    ("CurrentRequestedProcedureEvidenceSequence", "(0040,A375)", "SQ", "the rejected instances", "ALWAYS", "USER"),
    ("ContentSequence", "(0040,A730)", "SQ", "references to them; modifier, description", "ALWAYS", "USER"),
)


def _used() -> Iterator[Block]:
    yield Paragraph(
        "To be stored, an instance needs its SOP Class, SOP Instance, Study Instance and Series Instance UID. These "
        "attributes are read for the index where they are present; none of the others is required."
    )
    rows: list[Row] = []
    for level in Level:
        for key in keys_at(level).values():
            if key.place is not Place.COMPUTED and len(key.path) == 1:
                kind = "1" if key.unique and level is not Level.PATIENT else "any"
                rows.append(
                    (f"{level.value} level", key.keyword, _tag(key.path[0]), kind, "indexed, matched, returned")
                )
    yield table("received-elements", "Table 8.1-3. Significant elements in received instances", rows)
    yield table("exported-elements", "Table 8.1-5. Significant elements in instances that leave", _EXPORTED)


_EXPORTED: Sequence[Row] = (
    ("All", "All elements", "all", "as received, but for what section 8.1.4 tells"),
    ("SOP Common", "OriginalAttributesSequence", "(0400,0561)", "the former values, where the object was changed"),
)


def _tag(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _coerced(settings: Settings, entities: Sequence[Entity]) -> Iterator[Block]:
    yield Paragraph(
        "What is stored is never changed by itself. These are the cases in which values differ between what was sent "
        "to the archive, what it keeps, and what leaves it:"
    )
    rows: list[Row] = [
        (*_named("SOPInstanceUID"), f"duplicates at {e.title}: a new UID, status B000") for e in _renaming(entities)
    ]
    for rule in settings.rules:
        rows += _rule_rows(rule)
    for entity in entities:
        if entity.ae and entity.ae.merge_on_send != "off":
            rows.append(("Attributes of patient, study and series", "", f"sent by {entity.title}: values of the index"))
        if entity.ae and entity.ae.drop_invalid:
            rows.append(
                ("Elements that no reader can make sense of", "", f"received by {entity.title}: left out, B006")
            )
    rows += [
        (
            "Attributes of patient, study and series",
            "",
            "an operator corrected them: the object leaves with these values",
        ),
        (*_named("SpecificCharacterSet"), "sent to a peer that is set to get another set: all text is converted"),
        (*_named("OriginalAttributesSequence"), "added where a rule or a correction changed the object"),
    ]
    for hook, name in (("receive", settings.hooks.receive), ("send", settings.hooks.send)):
        if name:
            rows.append(("Whatever the site's own function changes", "", f"objects on {hook}: in place of rules"))
    yield table("coerced", "Table 8.1-4. Coerced and modified fields", rows)


def _renaming(entities: Sequence[Entity]) -> list[Entity]:
    return [entity for entity in entities if entity.ae is not None and entity.ae.duplicates == "new-uid"]


def _named(keyword: str) -> tuple[str, str]:
    tag = dictionary.tag_of(keyword)
    assert tag is not None
    return keyword, _tag(tag)


_CHANGES = ("set", "delete", "copy", "replace", "map", "hash", "private")


def _rule_rows(rule: Rule) -> Iterator[Row]:
    where = "received" if rule.when == "receive" else "sent"
    for action in rule.do:
        for change in _CHANGES:
            name = getattr(action, change)
            if name is not None:
                yield (name, _tag_of(name), f"{where}: {_VERBS[change]} by the rule {rule.name or 'without a name'}")


_VERBS = {
    "set": "set", "delete": "removed", "copy": "copied to", "replace": "replaced by pattern", "map": "mapped by table",
    "hash": "hashed", "private": "added in a private block",
}  # fmt: skip


def _tag_of(name: str) -> str:
    tag = dictionary.tag_of(name.rpartition(".")[2])
    return _tag(tag) if tag is not None else ""


def _private() -> Iterator[Block]:
    yield Paragraph(
        "The program adds no private attributes to data sets of its own accord; a rule may do so (section 8.1.4). "
        "Private attributes of others are kept and given back unaltered. In the files of the object store, which no "
        "network service gives out, the file meta information carries private information:"
    )
    rows = [("(0002,0102)", "Private Information: receipt facts", "OB", "1")]
    yield table("private-attributes", f"Table 8.2-1. Creator (0002,0100) {uids.PRIVATE_CREATOR}", rows)
    described = [(*rows[0], "address, time and digest of the received object, as JSON text")]
    yield table("private-attributes-described", "Table 8.2-2. The same, described", described)


def _terminology() -> Iterator[Section]:
    titles = [(title.code, title.meaning) for title in rejections.TITLES]
    groups = [
        ("CID 7010 Key Object Selection Document Title", ", ".join(code for code, _ in titles), "No",
         "titles of rejection notes, made and understood: " + "; ".join(f"{code} {text}" for code, text in titles)),
        ("CID 7011 Rejected for Quality Reasons", ", ".join(rejections.MODIFIERS), "No",
         "document title modifier (113011) of a rejection for quality"),
    ]  # fmt: skip
    yield Section("Context Groups", (table("context-groups", "Table 8.3-1. Context groups", groups),), role="8.3.1")
    yield Section(
        "Template Specifications",
        (Paragraph("TID 2010 Key Object Selection is used for rejection notes, unchanged. No private templates."),),
        role="8.3.2",
    )
    yield Section("Private Code Definitions", (Paragraph("None."),), role="8.3.3")
    usage = [("Key Object Selection Document Storage", "ConceptNameCodeSequence", "(0040,A043)", "7010", "DCM", "")]
    yield Section("Usage of Controlled Terminology", (table("terminology", "Table 8.3-2. Usage", usage),), role="8.3.4")


def _extended(settings: Settings) -> Iterator[str]:
    listed = [uid for ae in settings.aes for uid in ae.classes if uid not in sop_classes.registry()]
    yield (
        "The product defines none. As an archive it takes standard extended, specialized and private storage classes "
        "of others and keeps all of their attributes."
    )
    if listed:
        yield f"Storage classes that this installation adds by UID alone: {', '.join(dict.fromkeys(listed))}."
    known = sorted(entry.name for entry in sop_classes.registry().values() if entry.private)
    yield f"Private storage classes of others that it knows by name: {'; '.join(known)}."
