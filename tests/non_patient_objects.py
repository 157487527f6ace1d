"""Instances that belong to no patient, for tests: hanging protocols, palettes, implant templates, plain ones."""

from archives import ROOT, Object
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, Element, encode, text, uid, us

HANGING, PALETTE, IMPLANT = (f"1.2.840.10008.5.1.4.{n}.1" for n in (38, 39, 43))
PROTOCOL, APPROVAL, INVENTORY = (f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("200.1", "200.3", "201.1"))


def uid_of(number: int, sop_class: str = HANGING) -> str:
    """The SOP Instance UID of number `number` of a class."""
    return f"{ROOT}.99.{sop_class.rpartition('5.1.4.')[2]}.{number}"


def code(value: str, scheme: str = "SCT", meaning: str = "") -> DataSet:
    """A code item."""
    return {0x00080100: text("SH", value), 0x00080102: text("SH", scheme), 0x00080104: text("LO", meaning or value)}


def sequence(*items: DataSet) -> Element:
    """A sequence of these items."""
    return Element("SQ", items)


def plain(sop_class: str, number: int = 1, syntax: str = uids.EXPLICIT_LE, **more: Element) -> Object:
    """An instance of `sop_class` with its UIDs and `more` elements by keyword."""
    from isocenter.dicom.dictionary import tag_of

    sop_uid = uid_of(number, sop_class)
    data_set: DataSet = {0x00080016: uid(sop_class), 0x00080018: uid(sop_uid)}
    for keyword, element in more.items():
        tag = tag_of(keyword)
        assert tag is not None
        data_set[tag] = element
    return Object(sop_class, sop_uid, syntax, encode(data_set, syntax), "", "")


def hanging(
    number: int = 1,
    *,
    name: str = "CHEST",
    level: str = "SITE",
    definitions: tuple[tuple[str, str], ...] = (("CR", "51185008"),),
    screens: int = 2,
    character_set: str = "ISO_IR 192",
    syntax: str = uids.EXPLICIT_LE,
) -> Object:
    """A hanging protocol for these pairs of modality and code of the anatomic region."""
    items = [
        {0x00080060: text("CS", modality), 0x00082218: sequence(code(region)), 0x00200060: text("CS", "")}
        for modality, region in definitions
    ]
    return plain(
        HANGING,
        number,
        syntax,
        SpecificCharacterSet=text("CS", character_set),
        HangingProtocolName=text("SH", name, (character_set,)),
        HangingProtocolDescription=text("LO", f"{name} with priors", (character_set,)),
        HangingProtocolLevel=text("CS", level),
        HangingProtocolCreator=text("LO", "admin"),
        HangingProtocolCreationDateTime=text("DT", f"2024{number:02}01120000"),
        HangingProtocolDefinitionSequence=sequence(*items),
        NumberOfPriorsReferenced=us(1),
        HangingProtocolUserIdentificationCodeSequence=sequence(),
        NumberOfScreens=us(screens),
        NominalScreenDefinitionSequence=sequence({0x00720104: us(1024), 0x00720106: us(1280)}),
    )


def palette(number: int = 1, *, label: str = "HOT_IRON") -> Object:
    """A color palette with its three tables."""
    ramp = bytes(range(256))
    return plain(
        PALETTE,
        number,
        ContentLabel=text("CS", label),
        ContentDescription=text("LO", f"the palette {label}"),
        ContentCreatorName=text("PN", "Doe^Jane"),
        RedPaletteColorLookupTableDescriptor=Element("US", b"\x00\x01\x00\x00\x08\x00"),
        RedPaletteColorLookupTableData=Element("OW", ramp),
        GreenPaletteColorLookupTableData=Element("OW", ramp[::-1]),
        BluePaletteColorLookupTableData=Element("OW", ramp * 300),
    )


def implant(number: int = 1, *, name: str = "Stem", part: str = "S-1") -> Object:
    """A generic implant template."""
    return plain(
        IMPLANT,
        number,
        Manufacturer=text("LO", "Acme"),
        ImplantName=text("LO", name),
        ImplantPartNumber=text("LO", part),
        ImplantSize=text("SH", "12"),
        EffectiveDateTime=text("DT", "20240101"),
    )
