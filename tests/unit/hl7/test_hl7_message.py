"""Messages: read with patience, written by the book."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.hl7.delimiters import STANDARD, Delimiters, escaped, unescaped
from isocenter.hl7.errors import Condition, Location, MessageError
from isocenter.hl7.message import NULL, Message, located, parsed, segment

ORDER = (
    "MSH|^~\\&|RIS|HOSP|ISOCENTER|RAD|20240131120000||ORM^O01^ORM_O01|M1|P|2.3.1|||AL|NE||8859/1\r"
    "PID|1||P1^^^HOSP&1.2.3&ISO~X9^^^NAT||ROE^RICHARD^^^DR||19500101|M\r"
    'PV1|1|I|WARD^1^2||||\\T\\CO^\\F\\ACK\\S\\|""\r'
    "ORC|NW|PLC1|FIL1\rOBR|1|||CT1^CT HEAD^L\rOBX|1|TX|||first\\.br\\second\r"
    "ORC|NW|PLC2\rOBR|2|||MR1^MR HEAD^L\rZDS|1.2.840.1^^APPLICATION^DICOM"
)


def message(text: str = ORDER, codec: str = "latin-1", assumed: str = "") -> Message:
    return parsed(text.encode(codec), assumed)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("MSH-1", "|"),
        ("MSH-2", "^~\\&"),
        ("MSH-3", "RIS"),
        ("MSH-9.3", "ORM_O01"),
        ("PID-3", "P1"),
        ("PID-3.4", "HOSP"),
        ("PID-3.4.2", "1.2.3"),
        ("PID-3(2)", "X9"),
        ("PID-3(2).4", "NAT"),
        ("PID-3(3)", ""),
        ("PID-5.5", "DR"),
        ("PID-5.6", ""),
        ("PID-99", ""),
        ("PV1-7", "&CO"),
        ("PV1-7.2", "|ACK^"),
        ("PV1-8", NULL),
        ("OBX-5", "first\nsecond"),
        ("ORC[2]-2", "PLC2"),
        ("ORC[3]-2", ""),
        ("ZDS-1.4", "DICOM"),
        ("NTE-3", ""),
    ],
)
def test_values_by_path(path: str, value: str) -> None:
    assert message().value(path) == value


@pytest.mark.parametrize("path", ["PID", "PID-", "pid-3", "PID-3.", "PID-3.1.2.3", "PID[0-3", "PI-1"])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(ValueError, match="no path"):
        located(path)


def test_the_header() -> None:
    header = message().header
    assert (header.sending_application, header.receiving_facility, header.message, header.event) == (
        "RIS",
        "RAD",
        "ORM",
        "O01",
    )
    assert (header.control_id, header.version, header.accept, header.application) == ("M1", "2.3.1", "AL", "NE")
    assert header.enhanced
    assert not message("MSH|^~\\&|A|||||ADT_A01|1|P|2.5").header.enhanced
    assert message("MSH|^~\\&|A||||||ADT_A01|1|P|2.5").header.event == "A01"


def test_groups_begin_where_they_are_said_to() -> None:
    first, second = message().groups("ORC")
    assert [each.name for each in first.segments] == ["ORC", "OBR", "OBX"]
    assert second.value("OBR-4.2") == "MR HEAD"
    assert second.value("ZDS-1") == "1.2.840.1"
    assert list(message().groups("SCH")) == []


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r\r\n"])
def test_ends_of_lines(end: str) -> None:
    assert message(ORDER.replace("\r", end)).value("ORC[2]-2") == "PLC2"


def test_other_delimiters() -> None:
    other = message("MSH#*~!%#A#B#####ADT*A08#1#P#2.5\rPID###1*2%3!T!4!F!\r")
    assert other.value("PID-3.2.2") == "3%4#"
    assert other.header.event == "A08"
    assert other.delimiters == Delimiters("#", "*", "~", "!", "%")
    assert message("MSH|^~\\&#|A|||||ADT^A08|1|P|2.7").delimiters.truncation == "#"


def test_a_sender_without_escapes_means_what_it_writes() -> None:
    assert message("MSH|^|A\rPID|||a~b\\F\\&c").value("PID-3") == "a~b\\F\\&c"


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("", Condition.SEGMENT_SEQUENCE),
        ("\r\r", Condition.SEGMENT_SEQUENCE),
        ("PID|1", Condition.SEGMENT_SEQUENCE),
        ("MSH", Condition.SEGMENT_SEQUENCE),
        ("MSH|^^\\&|A|", Condition.DATA_TYPE),
        ("MSH||A||||||", Condition.DATA_TYPE),
        ("MSHA^~\\&AXAYA", Condition.DATA_TYPE),
        ("MSH|^~\\E|A|", Condition.DATA_TYPE),
        ("MSH$|RIS$A$", Condition.DATA_TYPE),
        ('MSH|^~\\"|A|', Condition.DATA_TYPE),
        ("MSH|^~\\&|A\rno segment", Condition.SEGMENT_SEQUENCE),
        ("MSH|^~\\&|A\rpid|1", Condition.SEGMENT_SEQUENCE),
        ("MSH|^~\\&|A\rPID|||1\rMSH|^~\\&|A\rPID|||2", Condition.SEGMENT_SEQUENCE),
        ("FHS|^~\\&|A\rBHS|^~\\&|A\rMSH|^~\\&|A\rBTS|1\rFTS|1", Condition.UNSUPPORTED_MESSAGE),
        ("BHS|^~\\&|A\rMSH|^~\\&|A\rBTS|1", Condition.UNSUPPORTED_MESSAGE),
        ("MSH|^~\\&|A|||||||||||||||KLINGON", Condition.TABLE_VALUE),
        ("MSH|^~\\&|A|||||||||||||||8859/1~KLINGON", Condition.TABLE_VALUE),
    ],
)
def test_what_is_no_message(text: str, condition: Condition) -> None:
    with pytest.raises(MessageError) as wrong:
        message(text)
    assert wrong.value.condition is condition


@pytest.mark.parametrize(
    ("declared", "codec", "name"),
    [
        ("8859/1", "latin-1", "MÜLLER"),
        ("8859/2", "iso8859_2", "ŁOŚ"),
        ("8859/5", "iso8859_5", "ИВАНОВ"),
        ("8859/7", "iso8859_7", "ΔΙΟΝ"),
        ("8859/15", "iso8859_15", "ŒUVRE"),
        ("UNICODE UTF-8", "utf-8", "Ωмега日本"),
        ("utf-8", "utf-8", "ÅSE"),
        ("GB 18030-2000", "gb18030", "王小东"),
        ("KS X 1001", "euc_kr", "김희중"),
        ("BIG-5", "big5", "許功蓋"),
        ("ISO IR14", "shift_jis", "ﾔﾏﾀﾞソ表"),
        ("~ISO IR87", "iso2022_jp", "山田太郎"),
        ("ASCII~ISO IR87~ISO IR159", "iso2022_jp_2", "山田太郎"),
        ("WINDOWS-1252", "cp1252", "ŽIŽEK"),
    ],
)
def test_character_sets(declared: str, codec: str, name: str) -> None:
    text = f"MSH|^~\\&|A||||||ADT^A08|1|P|2.5||||||{declared}\rPID|||1||{name}^X"
    assert message(text, codec).value("PID-5") == name
    assert message(text, codec).value("PID-5.2") == "X"


def test_escapes_that_call_another_set() -> None:
    escapes = r"MSH|^~\&|A||||||ADT^A08|1|P|2.5||||||ASCII~ISO IR87" + "\r" + r"PID|||1||\M2442\;3ED\C2842\^X"
    assert message(escapes).value("PID-5") == "山田"
    assert message(escapes).value("PID-5.2") == "X"


def test_what_is_assumed_of_those_who_say_nothing() -> None:
    text = "MSH|^~\\&|A||||||ADT^A08|1|P|2.5\rPID|||1||MÜLLER"
    assert message(text, "latin-1", "8859/1").value("PID-5") == "MÜLLER"
    assert message(text, "utf-8", "UNICODE UTF-8").value("PID-5") == "MÜLLER"
    with pytest.raises(MessageError, match="not of its character set") as wrong:
        message(text, "latin-1")
    assert wrong.value.location == Location("MSH", 1, 18)


@pytest.mark.parametrize("codec", ["utf_16", "utf_16_le", "utf_16_be"])
def test_wide_characters(codec: str) -> None:
    assert message("MSH|^~\\&|A||||||ADT^A08|1|P|2.5\rPID|||1||ИВАН", codec).value("PID-5") == "ИВАН"


def test_what_is_written_is_read_again() -> None:
    made = Message(
        [
            segment("MSH", "|", "", "A"),
            segment("PID", "", "", [("1", "", "", ("H|O", "1.2")), ("2",)], "", ("A^B", "C&D")),
            segment("OBX", "line\nand ~ \\ line"),
        ]
    )
    text = "MSH|^~\\&|A\r" + "".join(f"{each.written()}\r" for each in made.segments[1:])
    again = message(text)
    assert again.value("PID-3.4") == "H|O"
    assert again.value("PID-3.4.2") == "1.2"
    assert again.value("PID-3(2)") == "2"
    assert again.value("PID-5.2") == "C&D"
    assert again.value("OBX-1") == "line\nand ~ \\ line"
    assert again.written() == text
    assert message(again.written()).encoded() == text.encode()


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_any_value_survives(value: str) -> None:
    assert unescaped(escaped(value, STANDARD), STANDARD) == value


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("\\X0D0A\\", "\r\n"),
        ("\\XC3\\", "\\XC3\\"),
        ("\\X0\\", "\\X0\\"),
        ("\\H\\bold\\N\\", "bold"),
        ("a\\.sp2\\b", "a\n\nb"),
        ("a\\.sk3\\b", "a b"),
        ("\\Zours\\", "\\Zours\\"),
        ("50\\", "50\\"),
        ("\\\\", "\\\\"),
        ("C:\\DIR\\E\\F", "C:\\DIR\\E\\F"),
    ],
)
def test_escapes_of_all_kinds(written: str, meant: str) -> None:
    assert unescaped(written, STANDARD) == meant


@given(st.binary(max_size=300))
def test_nothing_but_message_errors_comes_of_garbage(data: bytes) -> None:
    for start in (b"", b"MSH|^~\\&|"):
        with contextlib.suppress(MessageError):  # nothing else may be raised
            found = parsed(start + data)
            assert found.written().startswith("MSH")
            assert found.header
