"""Fuzz targets for HL7: any bytes, however cut, are framed alike, read or refused, handled as a whole or not at all.

    PYTHONPATH=tests .venv/bin/python tests/fuzz/fuzz_hl7.py [seconds]     pieces of frames and of messages, damaged

`make test` runs `check_*` under Hypothesis for a moment.
"""

import atexit
import logging
import random
import shutil
import tempfile
from functools import cache
from pathlib import Path

from databases import migrated
from fuzz.loop import run, seconds_asked
from isocenter import database
from isocenter.config.hl7 import Feed, Hl7
from isocenter.hl7.errors import MessageError
from isocenter.hl7.framing import FrameTooLong, Unframing, framed
from isocenter.hl7.message import parsed
from isocenter.workflow.messages.handling import Handler
from isocenter.workflow.orders import handler as orders
from isocenter.workflow.worklist.entries import Worklist
from message_handlers import Noting, Reception

LONGEST = 300
HEADERS = (
    b"MSH|^~\\&|RIS|HOSP|I|R|20240131||ORM^O01|1|P|2.3\r",
    b"MSH|^~\\&|RIS|HOSP|I|R|20240131||ORM^O01|2|P|2.5|||AL|AL||8859/1\r",
    b"MSH|^~\\&|RIS|HOSP|I|R|20240131||OMI^O23^OMI_O23|3|P|2.5.1|||NE|ER\r",
    b"MSH|^~\\&#|RIS|HOSP|I|R|20240131||SIU^S12|4|P|2.7||||||UNICODE UTF-8\r",
    b"MSH|^~\\&|RIS|HOSP|I|R|20240131||ADT^A08|5|P|2.4||||||ISO IR14~ISO IR87\r",
    b"MSH$%*/+$RIS$HOSP$I$R$20240131$$ADT%A08$6$P$2.3\r",
    b"MSH|^~\\&|||||||ADT^A08|7\r",
)
LINES = (
    b"PID|1||42^^^HOSP&1.2.3&ISO^MR~43^^^OTHER||DOE^JANE^^^^^L~\xd6||19700101|F\r", b"PID|||\"\"||\"\"\r",
    b"PV1|1|I|W^1^2||||1^R^R|||||||||||V1\r", b"ORC|NW|P1^RIS|F1||SC||1^^^202402011000^^R\r", b"ORC|CA|P1^RIS|F1\r",
    b"ORC|XO|P1^RIS|F1|||||||\"\"\r", b"OBR|1|P1^RIS|F1|CT^Head^L|||||||||||||||A1|R1|S1||||CT|||^^^2024\r",
    b"ZDS|1.2.3^100^Application^DICOM\r", b"IPC|A1|R1|1.2.3|S1|CT^CT|P^Q^L|ROOM|FLOOR|AE1\r",
    b"TQ1|1||||||202402301000+9999\r",
    b"SCH|1|2||||||||||||||||||||||Booked\r", b"RGS|1|A\r", b"AIS|1|A|CT^Head|20240131\r",
    b"NTE|1||\\X0D\\\\.br\\\\C2842\\\r",
    b"OBX|1|NM|3141-9^W^LN||70|kg\r", b"MRG|1\r", b"X\r", b"PID|" + b"~" * 50 + b"\r",
)  # fmt: skip
PIECES = (
    b"\x0b",
    b"\x1c\r",
    b"\x1c",
    b"\r",
    b"\n",
    b"|",
    b"^",
    b"~",
    b"\\",
    b"&",
    b"\0",
    b"\xff\xfe",
    b'""',
    b"\x1b$B",
)


def check_framing(data: bytes, cut: int = 7) -> None:
    """Whole, in pieces and byte by byte a stream gives the same messages; what is framed comes out again."""
    whole = _frames([data])
    assert _frames([data[i : i + 1] for i in range(len(data))]) == whole
    assert _frames([data[:cut], b"", data[cut:]]) == whole
    if b"\x0b" not in data and b"\x1c" not in data and len(data) <= LONGEST:
        assert _frames([framed(data)]) == [data]


def _frames(pieces: list[bytes]) -> list[bytes] | None:
    frames, found = Unframing(LONGEST), []
    try:
        for piece in pieces:
            found += frames.feed(piece)
    except FrameTooLong:
        return None
    return found


def check_reading(data: bytes) -> None:
    """A message is refused in HL7's terms, or read; as it is written it reads the same."""
    try:
        message = parsed(data, "8859/1")
    except MessageError:
        return
    written = message.written()
    for each in message.segments:
        for number in range(1, len(each) + 1):
            each.field(number)
    assert parsed(written.encode("utf-16"), "").written() == written


@cache
def _reception() -> Reception:
    folder = Path(tempfile.mkdtemp(prefix="isocenter-fuzz-"))
    atexit.register(shutil.rmtree, folder, True)
    opened = database.open(migrated(folder))
    atexit.register(opened.close)
    settings = Hl7(feeds=(Feed(name="ris", facility="HOSP", time_zone="Europe/Berlin", character_set="8859/1"),))
    found = Reception(opened, Noting(), settings)
    handlers: dict[str, Handler] = {"ADT^*": found.handler}
    found.use({**handlers, **orders.handlers(Worklist(opened))})
    return found


def check_handling(data: bytes) -> None:
    """A message is answered as it asks for, kept, and processed or refused; nothing else is raised."""
    reception = _reception()
    codes = [answer.value("MSA-1") for answer in reception.answers(data)]
    assert len(codes) <= 2
    assert set(codes) <= {"AA", "AE", "AR", "CA", "CE", "CR"}
    (kept,) = reception.messages.listed(limit=1)
    assert kept.state in ("processed", "refused")
    assert "could not be processed" not in kept.error, "a fault of ours"


CHECKS = (check_framing, check_reading, check_handling)


def made(chance: random.Random) -> tuple[bytes, int]:
    """A message, or several in a stream, with some bytes replaced, and where it is cut."""
    data = chance.choice(HEADERS) + b"".join(chance.choice(LINES) for _ in range(chance.randrange(8)))
    if chance.random() < 0.3:
        data = b"\x0b" + data + b"\x1c\r"
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(data))
        data = data[:at] + chance.choice(PIECES) + data[at + chance.randrange(4) :]
    return data, chance.randrange(1, len(data) + 1)


def check(one: tuple[bytes, int]) -> None:
    """All of them."""
    check_framing(*one)
    check_reading(one[0])
    check_handling(one[0].strip(b"\x0b\x1c"))


def main(seconds: float) -> None:
    """Run the checks over random messages for so long."""
    logging.getLogger("isocenter").addHandler(logging.NullHandler())  # every refusal is a line
    run(seconds, made, check)


if __name__ == "__main__":
    main(seconds_asked())
