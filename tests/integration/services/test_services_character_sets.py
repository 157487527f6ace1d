"""Character sets over the wire: default and forced sets of a peer, conversion on the way out, queries in any set."""

from pathlib import Path

import pytest

from archives import Destination, Object, Running, keys, listening, made, running, sop_uid, study_uid
from isocenter.config import HostedAE, Peer
from isocenter.dicom import charset, uids
from isocenter.dicom.dataset import DataSet, Element, decode, encode, string_of, text
from isocenter.dimse import ProposedContext

CHARSET, NAME, DESCRIPTION, REQUESTS, ORIGINAL = 0x00080005, 0x00100010, 0x00081030, 0x00400275, 0x04000561
FIND = uids.STUDY_ROOT_FIND
NAMES = {
    "ISO_IR 100": "Jérôme", "ISO_IR 101": "Wałęsa", "ISO_IR 109": "Ĉapelo", "ISO_IR 110": "Bērziņš",
    "ISO_IR 126": "Διονυσιος", "ISO_IR 127": "قباني", "ISO_IR 138": "שרון", "ISO_IR 144": "Люкс",
    "ISO_IR 148": "Çavuşoğlu", "ISO_IR 166": "สมชาย", "ISO_IR 13": "ﾔﾏﾀﾞ", "ISO_IR 203": "Žofie", "ISO_IR 192": "ψé王",
    "GB18030": "王㐀", "GBK": "王小东", "\\ISO 2022 IR 87": "山田", "\\ISO 2022 IR 159": "丂丄",
    "\\ISO 2022 IR 149": "홍길동",
    "\\ISO 2022 IR 58": "张小东", "ISO 2022 IR 13\\ISO 2022 IR 87": "ﾀﾛｳ太郎",
}  # fmt: skip


def worded(
    number: int, declared: str, name: str, *, study: int = 1, syntax: str = uids.EXPLICIT_LE, says: bool = True
) -> Object:
    """An object with a name at the top level and in an item, in `declared`, which it says or not."""
    plain = made(number, study=study, pixels=b"")
    elements: DataSet = decode(plain.data, uids.EXPLICIT_LE) | {
        NAME: text("PN", name, declared), DESCRIPTION: text("LO", name, declared),
        REQUESTS: Element("SQ", ({0x00321060: text("LO", name, declared)},)),
    }  # fmt: skip
    if says:
        elements[CHARSET] = text("CS", declared)
    return plain._replace(data=encode(elements, syntax), syntax=syntax)


def read(data: bytes, syntax: str = uids.EXPLICIT_LE) -> tuple[str, set[str]]:
    """Specific Character Set, and the texts that `worded` made."""
    elements = decode(data, syntax)
    declared = string_of(elements, CHARSET)
    item = elements[REQUESTS].value[0]
    assert isinstance(item, dict)
    raw = [elements[NAME], elements[DESCRIPTION], item[0x00321060]]
    return declared, {
        charset.decode(each.value, each.vr, declared).strip() for each in raw if isinstance(each.value, bytes)
    }


def moved(archive: Running, destination: Destination) -> list[bytes]:
    """What a C-MOVE of the study brings."""
    *_, last = archive.move("DEST", keys("STUDY", StudyInstanceUID=study_uid()))
    assert last.status == 0
    return [each.data for each in destination.received]


def sent_as(destination: Destination, **settings: object) -> Peer:
    return Peer(title="DEST", host="127.0.0.1", port=destination.port, **settings)  # type: ignore[arg-type]


@pytest.mark.req("I-CHAR-07", "I-SEND-07", "I-CHAR-05", "S-CS-02")
@pytest.mark.parametrize("syntaxes", [(uids.EXPLICIT_LE,), (uids.IMPLICIT_LE,)])
def test_objects_leave_in_the_peers_set(tmp_path: Path, sqlite_url: str, syntaxes: tuple[str, ...]) -> None:
    destination = Destination(syntaxes=syntaxes)
    with listening(destination), running(
        tmp_path, sqlite_url, peers=[sent_as(destination, character_set_sent="ISO_IR 192")]
    ) as archive:  # fmt: skip
        archive.send(*(worded(n, declared, name) for n, (declared, name) in enumerate(NAMES.items(), 1)))
        got = {read(data, syntaxes[0])[0]: None for data in moved(archive, destination)}
        assert set(got) == {"ISO_IR 192"}
    by_uid = {each.sop_uid: read(each.data, syntaxes[0])[1] for each in destination.received}
    assert by_uid == {sop_uid(n): {name} for n, name in enumerate(NAMES.values(), 1)}


@pytest.mark.req("I-CHAR-08", "S-CS-05")
@pytest.mark.parametrize(("terms", "unknown", "names"), [
    ("ISO_IR 100", "?", {"Jérôme", "??"}), ("ISO_IR 100", "_", {"Jérôme", "__"}), ("ISO_IR 6", "x", {"Jxrxme", "xx"}),
    ("ISO 2022 IR 100\\ISO 2022 IR 87", "?", {"Jérôme", "山田"}),
])  # fmt: skip
def test_what_the_peers_set_lacks(tmp_path: Path, sqlite_url: str, terms: str, unknown: str, names: set[str]) -> None:
    destination = Destination()
    peer = sent_as(destination, character_set_sent=terms, unknown_character=unknown)
    destination_terms = "" if terms == "ISO_IR 6" else terms
    with listening(destination), running(
        tmp_path, sqlite_url, peers=[sent_as(destination, character_set_sent=terms, unknown_character=unknown)]
    ) as archive:  # fmt: skip
        assert peer.character_set_sent == terms
        archive.send(worded(1, "ISO_IR 100", "Jérôme"), worded(2, "\\ISO 2022 IR 87", "山田"))
        found = [read(data) for data in moved(archive, destination)]
    assert {declared for declared, _ in found} == {destination_terms}
    assert {name for _, texts in found for name in texts} == names


@pytest.mark.req("I-CHAR-03", "I-CHAR-04")
def test_a_peers_default_set(tmp_path: Path, sqlite_url: str) -> None:
    """What an object doesn't say is read as configured for its sender, by the index and on the way out."""
    destination = Destination()
    sender = Peer(title="TESTER", character_set="ISO_IR 101")
    with listening(destination), running(
        tmp_path, sqlite_url, peers=[sender, sent_as(destination, character_set_sent="ISO_IR 192")]
    ) as archive:  # fmt: skip
        quiet, spoken = worded(1, "ISO_IR 101", "Wałęsa", says=False), worded(2, "ISO_IR 144", "Люкс", study=2)
        archive.send(quiet, spoken)
        assert {row.patient_name for row in archive.rows("patient")} == {"Wałęsa", "Люкс"}
        assert [read(data) for data in moved(archive, destination)] == [("ISO_IR 192", {"Wałęsa"})]
        # the object itself stays as it came
        assert archive.data_of(archive.rows("instance")[0].store_key) == quiet.data


@pytest.mark.req("I-CHAR-04")
def test_a_peers_forced_set(tmp_path: Path, sqlite_url: str) -> None:
    """A device that names a wrong set is put right as its objects come; what it said is kept beside it."""
    sender = Peer(title="TESTER", character_set="ISO_IR 101", character_set_forced=True)
    destination = Destination()
    with listening(destination), running(tmp_path, sqlite_url, peers=[sender, sent_as(destination)]) as archive:
        wrong = worded(1, "ISO_IR 101", "Wałęsa")
        lie = wrong._replace(data=wrong.data.replace(b"ISO_IR 101", b"ISO_IR 100"))
        archive.send(lie, worded(2, "ISO_IR 101", "Wałęsa"))
        archive.send(worded(3, "ISO_IR 100", "Jérôme", study=2), calling="OTHER")
        assert {row.patient_name for row in archive.rows("patient")} == {"Wałęsa", "Jérôme"}
        first, second = moved(archive, destination)
    assert read(first) == read(second) == ("ISO_IR 101", {"Wałęsa"})
    (item,) = decode(first, uids.EXPLICIT_LE)[ORIGINAL].value
    assert isinstance(item, dict)
    (former,) = item[0x04000550].value
    assert isinstance(former, dict)
    assert string_of(former, CHARSET) == "ISO_IR 100"
    assert second == worded(2, "ISO_IR 101", "Wałęsa").data


@pytest.mark.req("I-CHAR-09", "I-CHAR-01", "S-CS-06", "X-VIEW-43", "M-CHAR-02")
def test_queries_in_any_set_against_any_set(tmp_path: Path, sqlite_url: str) -> None:
    """Names stored in one set are found by those who ask in another, and answered in what they asked in."""
    everything = ["ISO_IR 192", "GB18030", *NAMES]
    with running(tmp_path, sqlite_url, ae=HostedAE()) as archive:
        for n, (declared, name) in enumerate(NAMES.items(), 1):
            archive.send(worded(1, declared, f"{name}^{n}", study=n))
        asked = 0
        with archive.connect(ProposedContext(FIND, (uids.EXPLICIT_LE,))) as association:
            for n, name in enumerate(NAMES.values(), 1):
                for terms in dict.fromkeys(everything):
                    if charset.fits(name, terms):
                        asked += 1
                        identifier = keys("STUDY", StudyInstanceUID="") | {
                            CHARSET: text("CS", terms), NAME: text("PN", f"{name}*", terms)
                        }  # fmt: skip
                        matches = association.find(FIND, encode(identifier, uids.EXPLICIT_LE))
                        found = [decode(m.data, uids.EXPLICIT_LE) for m in matches if m.data]
                        answers = {_name(answer) for answer in found}
                        assert f"{name}^{n}" in answers, (name, terms)
                        assert string_of(found[0], CHARSET) in (terms, "ISO_IR 192")
    assert asked > 60


@pytest.mark.req("I-CHAR-03", "I-CHAR-04", "I-CHAR-09")
@pytest.mark.parametrize(("forced", "says"), [(False, ""), (True, ""), (True, "ISO_IR 100")])
def test_queries_of_a_peer_that_does_not_say(tmp_path: Path, sqlite_url: str, forced: bool, says: str) -> None:
    peer = Peer(title="TESTER", character_set="ISO_IR 101", character_set_forced=forced)
    with running(tmp_path, sqlite_url, peers=[peer]) as archive:
        archive.send(worded(1, "ISO_IR 192", "Wałęsa"), calling="OTHER")
        answer = _answer(archive, {NAME: text("PN", "Wałęsa", "ISO_IR 101")}, says)
    assert string_of(answer, CHARSET) == "ISO_IR 101"
    assert _name(answer) == "Wałęsa"


@pytest.mark.req("I-CHAR-07")
@pytest.mark.parametrize(("name", "terms"), [("Jérôme", "ISO_IR 100"), ("Wałęsa", "ISO_IR 192")])
def test_answers_in_a_peers_set(tmp_path: Path, sqlite_url: str, name: str, terms: str) -> None:
    """In the set configured for it, or in Unicode where that lacks a character: an answer that names another patient
    would be worse than one that is hard to read."""
    peer = Peer(title="TESTER", character_set_sent="ISO_IR 100")
    with running(tmp_path, sqlite_url, peers=[peer]) as archive:
        archive.send(worded(1, "ISO_IR 192", name))
        answer = _answer(archive, {NAME: Element("PN", b"")}, "ISO_IR 192")
    assert (string_of(answer, CHARSET), _name(answer)) == (terms, name)


def _answer(archive: Running, asked: DataSet, says: str) -> DataSet:
    identifier = keys("STUDY", StudyInstanceUID="") | asked | ({CHARSET: text("CS", says)} if says else {})
    with archive.connect(ProposedContext(FIND, (uids.EXPLICIT_LE,))) as association:
        (first, _) = association.find(FIND, encode(identifier, uids.EXPLICIT_LE))
    assert first.data
    return decode(first.data, uids.EXPLICIT_LE)


def _name(answer: DataSet) -> str:
    value = answer[NAME].value
    assert isinstance(value, bytes)
    return charset.decode(value, "PN", string_of(answer, CHARSET)).strip()
