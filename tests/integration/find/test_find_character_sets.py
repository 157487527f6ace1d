"""Queries in any character set against objects in any other; answers in the requester's where it has the characters."""

import csv
from collections.abc import Iterator

import pytest

from find_samples import SYNTAX, Archive, archive_on
from isocenter.archive.query import Model, search
from isocenter.archive.query_identifier import Terms, charset_of, from_identifier
from isocenter.dicom import charset
from isocenter.dicom.dataset import DataSet, Element, decode, encode, string_of, text
from isocenter.services.find_encoding import answer_encoder
from material import REQUIREMENTS

NAMES = {
    "ISO_IR 6": "Doe^Jane",
    "ISO_IR 100": "Müller^Änne",
    "ISO_IR 101": "Čapek^Karel",
    "ISO_IR 109": "Ħal^Ġorġ",
    "ISO_IR 110": "Ķīlis^Jānis",
    "ISO_IR 126": "Διονυσίου^Άννα",
    "ISO_IR 127": "قباني^لنزار",
    "ISO_IR 138": "שרון^דבורה",
    "ISO_IR 144": "Люксембург^Роза",
    "ISO_IR 148": "Çavuşoğlu^Güneş",
    "ISO_IR 166": "นามสกุล^ชื่อ",
    "ISO_IR 13": "ﾔﾏﾀﾞ^ﾀﾛｳ",
    "ISO_IR 192": "Ωmega^山本=山田^太郎=やまだ^たろう",
    "GBK": "Wang^XiaoDong=王^小东",
    "GB18030": "Wang^XiaoDa=王^小大",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^次郎=やまだ^じろう",
    "\\ISO 2022 IR 149": "Hong^Gildong=洪^吉洞=홍^길동",
    "\\ISO 2022 IR 58": "Zhang^XiaoDong=张^小东",
    "\\ISO 2022 IR 87\\ISO 2022 IR 159": "Asou^Hana=麻生^鷗=あそう^はな",
}
"""A name for each character set, single ones by the term without code extensions."""


TABLE = REQUIREMENTS / "iconnect_character_sets.csv"


def terms() -> list[str]:
    """The character sets of the catalogue's table: each term alone, code extensions behind the default repertoire."""
    found = [row["defined_term"] for row in csv.DictReader(TABLE.read_text("utf-8").splitlines())]
    alone = ("ISO_IR", "GB")
    return [term if term.startswith(alone) else f"\\{term}" for term in found]


def name_of(term: str) -> str:
    """A name that the set has."""
    if term in NAMES:
        return NAMES[term]
    if term.endswith("IR 159"):
        return NAMES["\\ISO 2022 IR 87\\ISO 2022 IR 159"]
    return NAMES[f"ISO_IR {term.rsplit(' ', 1)[1]}"]


def declared(term: str) -> str:
    """(0008,0005): the supplementary kanji come with the kanji."""
    return "\\ISO 2022 IR 87\\ISO 2022 IR 159" if term.endswith("IR 159") else term


SETS = terms()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """One study in each character set; its Study ID is the number of the set."""
    with archive_on(request.param, tmp_path_factory.mktemp("sets")) as archive:
        for number, term in enumerate(SETS):
            archive.add_encoded(object_in(term, number))
        yield archive


def object_in(term: str, number: int) -> bytes:
    """An object whose patient's name is in a character set."""
    made: DataSet = {
        0x00080005: text("CS", declared(term)),
        0x00080016: text("UI", "1.2.840.10008.5.1.4.1.1.2"),
        0x00080018: text("UI", f"1.2.{number}.3"),
        0x00100010: in_set("PN", name_of(term), term),
        0x00100020: text("LO", f"P{number}"),
        0x0020000D: text("UI", f"1.2.{number}.1"),
        0x0020000E: text("UI", f"1.2.{number}.2"),
        0x00200010: text("SH", str(number)),
    }
    return encode(made, SYNTAX)


def in_set(vr: str, value: str, term: str) -> Element:
    return Element(vr, charset.encode(value, charset.character_set(declared(term)), vr=vr))


def ask(archive: Archive, term: str, key: Element) -> list[DataSet]:
    """The answers to a query for a name, in the character set of the requester."""
    identifier: DataSet = {
        0x00080005: text("CS", declared(term)),
        0x00080052: text("CS", "STUDY"),
        0x00100010: key,
        0x00081030: text("LO", ""),
        0x00200010: text("SH", ""),
    }
    query = from_identifier(identifier, Terms(access=None, model=Model.STUDY_ROOT))
    result = search(archive.database, query)
    encoder = answer_encoder(
        query, result.layout, SYNTAX, retrieve_aet="A", declared=charset_of(identifier), asked=identifier
    )
    return [decode(answer, SYNTAX) for page in result.pages for answer in encoder(page)]


def shown(answer: DataSet, tag: int = 0x00100010) -> str:
    """A text of an answer, by the character set that it names."""
    element = answer[tag]
    assert isinstance(element.value, bytes)
    return charset.decode(element.value, element.vr, string_of(answer, 0x00080005)).strip()


def fits(value: str, term: str) -> bool:
    try:
        in_set("PN", value, term)
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.req("I-FIND-09", "I-CHAR-09", "I-CHAR-01", "X-VIEW-43")
@pytest.mark.parametrize("asking", SETS)
def test_any_set_asks_for_any(filled: Archive, asking: str) -> None:
    asked = 0
    for number, stored in enumerate(SETS):
        name = name_of(stored)
        if not fits(name, asking):
            continue
        asked += 1
        answers = ask(filled, asking, in_set("PN", name.upper() if name.isascii() else name, asking))
        found = {string_of(answer, 0x00200010): answer for answer in answers}
        assert str(number) in found, (asking, stored)
        answer = found[str(number)]
        assert shown(answer) == name
        told = string_of(answer, 0x00080005)
        assert told in ("" if name.isascii() else declared(asking), declared(asking).strip("\\"), declared(asking))
    assert asked >= 2


@pytest.mark.req("I-FIND-09", "I-CHAR-07")
@pytest.mark.parametrize("asking", [term for term in SETS if term not in ("ISO_IR 192", "GB18030")])
def test_what_the_requester_lacks_comes_in_utf_8(filled: Archive, asking: str) -> None:
    for number, stored in enumerate(SETS):
        if fits(name_of(stored), asking):
            continue
        answers = ask(filled, asking, text("PN", ""))
        answer = next(each for each in answers if string_of(each, 0x00200010) == str(number))
        assert string_of(answer, 0x00080005) == "ISO_IR 192"
        assert shown(answer) == name_of(stored)


@pytest.mark.req("I-CHAR-11")
def test_the_yen_sign_stays_one(archive: Archive) -> None:
    made = decode(object_in("ISO_IR 192", 1), SYNTAX)
    archive.add_encoded(encode({**made, 0x00081030: text("LO", "¥100", "ISO_IR 192")}, SYNTAX))
    (answer,) = ask(archive, "ISO_IR 13", text("PN", ""))
    assert shown(answer, 0x00081030) == "¥100"
    (answer,) = ask(archive, "ISO_IR 192", text("PN", ""))
    assert shown(answer, 0x00081030) == "¥100"


def test_the_index_was_told(filled: Archive) -> None:
    assert len(ask(filled, "ISO_IR 192", text("PN", ""))) == len(SETS)
