"""Objects made quickly, and senders that note what was acknowledged.

The `Book` of a test knows every object that was ever sent, by SOP Instance UID with the digest of its data set, and
which of them the server answered with 0000.
"""

import hashlib
import http.client
import itertools
import random
import struct
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

from isocenter import dimse
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, Element, encode, text, uid, us
from isocenter.dicom.part10 import file_header
from isocenter.errors import IsocenterError
from servers import PATIENCE

CT = "1.2.840.10008.5.1.4.1.1.2"
CALLED = "ISOCENTER"
ROOT = "1.2.826.0.1.3680043.10.999"
PATIENTS = (
    ("Quarzbruck^Ottilie", "KX-7731042"),
    ("Vandermolenaar^Jelmer", "KX-9915527"),
    ("Øksendalen^Åslaug", "KX-2204418"),
    ("Zsigmondy^Bálint", "KX-6650381"),
)
"""Names and ids that occur nowhere by chance, so that a log can be searched for them."""
SECRETS = tuple({part for name, number in PATIENTS for part in (*name.split("^"), number)})

_NETWORK = dimse.Settings(connect=PATIENCE, response=PATIENCE, dimse=PATIENCE, artim=PATIENCE)


class Sample(NamedTuple):
    """One object as it is sent: a CT in Explicit VR Little Endian."""

    study: str
    series: str
    instance: str
    data: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the data set."""
        return hashlib.sha256(self.data).hexdigest()


def sample(number: int, *, run: int = 0, sender: int = 0, pixels: bytes = b"\x01\x02" * 64) -> Sample:
    """Object `number` of a sender; twenty make a series, a hundred a study."""
    study = f"{ROOT}.{run}.{sender}.{number // 100}"
    series = f"{study}.{number // 20 % 5}"
    instance = f"{series}.{number}"
    name, patient = PATIENTS[sender % len(PATIENTS)]
    charset = "ISO_IR 192"
    data_set: DataSet = {
        0x00080005: text("CS", charset),
        0x00080016: uid(CT),
        0x00080018: uid(instance),
        0x00080020: text("DA", "20240229"),
        0x00080030: text("TM", "101500"),
        0x00080050: text("SH", f"A{run}.{sender}.{number // 100}"),
        0x00080060: text("CS", "CT"),
        0x00100010: text("PN", name, charset),
        0x00100020: text("LO", patient),
        0x0020000D: uid(study),
        0x0020000E: uid(series),
        0x00200011: text("IS", str(number // 20 % 5)),
        0x00200013: text("IS", str(number)),
        0x00280010: us(1),
        0x00280011: us(min(len(pixels) // 2, 65535)),
        0x00280100: us(16),
    }
    # the pixels are joined as they are: encoding them would cost more than all the rest
    head = encode(data_set, uids.EXPLICIT_LE)
    return Sample(study, series, instance, head + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, len(pixels)) + pixels)


def random_pixels(chance: random.Random) -> bytes:
    """Mostly a few kB, sometimes half a MB: both ways through the store."""
    return chance.randbytes(2 * chance.choice((40, 2_000, 5_500, 5_500, 5_500, 40_000, 260_000)))


class Book:
    """What was sent and what became of it; shared by all the senders of a test."""

    def __init__(self) -> None:
        self.sent: dict[str, tuple[str, str, str]] = {}
        """SOP Instance UID: study, series, digest."""
        self.acknowledged: set[str] = set()
        self.refusals: dict[str, int] = {}
        """SOP Instance UID: status other than 0000."""
        self.statuses: Counter[int] = Counter()
        self._changed = threading.Condition()

    def sending(self, each: Sample) -> None:
        """It is about to leave."""
        with self._changed:
            self.sent[each.instance] = (each.study, each.series, each.digest)

    def answered(self, each: Sample, status: int) -> None:
        """Its response came."""
        with self._changed:
            self.statuses[status] += 1
            if status == 0:
                self.acknowledged.add(each.instance)
            else:
                self.refusals[each.instance] = status
            self._changed.notify_all()

    def await_acknowledged(self, more: int) -> None:
        """Wait until `more` objects than now are acknowledged."""
        with self._changed:
            goal = len(self.acknowledged) + more
            reached = self._changed.wait_for(lambda: len(self.acknowledged) >= goal, PATIENCE)
            assert reached, f"{len(self.acknowledged)} of {goal} acknowledged; statuses {self.statuses}"

    def await_refused(self, more: int = 1) -> None:
        """Wait until `more` responses than now are failures."""
        with self._changed:
            goal = self._failures() + more
            reached = self._changed.wait_for(lambda: self._failures() >= goal, PATIENCE)
            assert reached, f"no failure came; statuses {self.statuses}"

    def _failures(self) -> int:
        return self.statuses.total() - self.statuses[0]


class Senders:
    """Threads that send one object after the other, each on an association of its own, until the block ends.

    What breaks an association is answered by a new one; what breaks a sender's thread fails the test.
    """

    _runs = itertools.count(1)

    def __init__(
        self,
        port: Callable[[], int],
        book: Book,
        *,
        threads: int = 4,
        pixels: Callable[[random.Random], bytes] = random_pixels,
        called: str = CALLED,
    ) -> None:
        """`port` is asked for each association: a server that starts again has another."""
        self.broken = 0
        """Associations that ended in another way than ours."""
        self._port, self._book, self._pixels, self._called = port, book, pixels, called
        self._run = next(self._runs)
        self._ending = threading.Event()
        self._failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._guarded, args=(n,), name=f"sender-{n}") for n in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads), "a sender hangs"
        if self._failures and error is None:
            raise self._failures[0]

    def _guarded(self, sender: int) -> None:
        try:
            self._send(sender)
        except BaseException as failure:
            self._failures.append(failure)

    def _send(self, sender: int) -> None:
        chance = random.Random(f"{self._run}.{sender}")
        numbers = itertools.count()
        while not self._ending.is_set():
            try:
                with connect(self._port(), calling=f"SENDER{sender}", called=self._called) as association:
                    while not self._ending.is_set():
                        each = sample(next(numbers), run=self._run, sender=sender, pixels=self._pixels(chance))
                        if not self._accepted(association, each):
                            self._ending.wait(0.02)
            except IsocenterError:
                self.broken += 1
                self._ending.wait(0.02)

    def _accepted(self, association: dimse.ClientAssociation, each: Sample) -> bool:
        self._book.sending(each)
        status = store(association, each)
        self._book.answered(each, status)
        return status == 0


class WebSenders(Senders):
    """The same over STOW-RS, a request for each object; `port` is that of HTTP."""

    def _send(self, sender: int) -> None:
        chance = random.Random(f"{self._run}.{sender}")
        for number in itertools.count():
            if self._ending.is_set():
                return
            each = sample(number, run=self._run, sender=sender, pixels=self._pixels(chance))
            self._book.sending(each)
            try:
                self._book.answered(each, stow(self._port(), each))
            except (OSError, http.client.HTTPException):
                self.broken += 1
                self._ending.wait(0.02)


def stow(port: int, each: Sample) -> int:
    """STOW-RS of one object: 0 for 200, else the HTTP status. Raises OSError, HTTPException."""
    head = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + file_header(CT, each.instance, uids.EXPLICIT_LE)
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(
            "POST",
            "/dicom-web/studies",
            head + each.data + b"\r\n--b--\r\n",
            {"Content-Type": kind, "Accept": "application/dicom+json"},
        )
        response = connection.getresponse()
        response.read()
        return 0 if response.status == 200 else response.status
    finally:
        connection.close()


def connect(port: int, *, calling: str = "SENDER", called: str = CALLED) -> dimse.ClientAssociation:
    """An association for storing CTs in Explicit VR Little Endian."""
    contexts = [
        dimse.ProposedContext(CT, (uids.EXPLICIT_LE,)),
        dimse.ProposedContext(uids.VERIFICATION, (uids.IMPLICIT_LE,)),
    ]
    return dimse.connect(("127.0.0.1", port), calling=calling, called=called, contexts=contexts, settings=_NETWORK)


def store(association: dimse.ClientAssociation, each: Sample) -> int:
    """C-STORE; the status."""
    context = association.context_for(CT)
    return association.store(context.id, CT, each.instance, dimse.BytesSource(each.data))


def send(port: int, book: Book, samples: list[Sample]) -> None:
    """Send `samples` over one association, noting what comes of each."""
    with connect(port) as association:
        for each in samples:
            book.sending(each)
            book.answered(each, store(association, each))


# --- looking at what the server holds


class _Digests:
    """Receives the objects of a C-GET and keeps the digest of each."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def sink(self, _association: object, _context: object, command: dimse.Command) -> "_DigestSink":
        return _DigestSink(self.found, str(command[dimse.commands.AFFECTED_SOP_INSTANCE]))


class _DigestSink:
    def __init__(self, found: dict[str, str], instance: str) -> None:
        self._hash, self._found, self._instance = hashlib.sha256(), found, instance

    def write(self, views: object) -> None:
        for view in views:  # type: ignore[attr-defined]
            self._hash.update(view)

    def close(self) -> None:
        assert self._instance not in self._found, "one object came twice"
        self._found[self._instance] = self._hash.hexdigest()

    def abandon(self) -> None:
        pass


def query(port: int, level: str, **keys: str) -> list[DataSet]:
    """C-FIND, Study Root, hierarchical: the answers. Keys by keyword; those with '' are asked for."""
    from isocenter.dicom.dataset import decode
    from isocenter.dicom.dictionary import tag_of, vr_of

    wanted: DataSet = {0x00080052: text("CS", level)}
    for keyword, value in keys.items():
        tag = tag_of(keyword)
        assert tag is not None
        wanted[tag] = text(vr_of(tag), value)
    contexts = [dimse.ProposedContext(uids.STUDY_ROOT_FIND, (uids.EXPLICIT_LE,))]
    with dimse.connect(
        ("127.0.0.1", port), calling="CHECK", called=CALLED, contexts=contexts, settings=_NETWORK
    ) as association:
        *answers, last = association.find(uids.STUDY_ROOT_FIND, encode(wanted, uids.EXPLICIT_LE))
    assert last.status == 0, f"C-FIND ended with {last.status:04X}: {last.comment}"
    return [decode(answer.data, uids.EXPLICIT_LE) for answer in answers if answer.data is not None]


def retrieve(port: int, study: str) -> dict[str, str]:
    """C-GET of a study: SOP Instance UID and digest of the data set of each object; none may fail."""
    last, found = try_to_retrieve(port, study)
    assert last.status == 0, f"C-GET ended with {last.status:04X}: {last.comment}"
    assert not last.failed
    assert last.completed == len(found)
    return found


def try_to_retrieve(port: int, study: str) -> tuple[dimse.Progress, dict[str, str]]:
    """C-GET of a study: the last response, and what came."""
    wanted: DataSet = {0x00080052: text("CS", "STUDY"), 0x0020000D: uid(study)}
    contexts = [
        dimse.ProposedContext(uids.STUDY_ROOT_GET, (uids.EXPLICIT_LE,)),
        dimse.ProposedContext(CT, (uids.EXPLICIT_LE,), scu=False, scp=True),
    ]
    digests = _Digests()
    with dimse.connect(
        ("127.0.0.1", port), calling="CHECK", called=CALLED, contexts=contexts, settings=_NETWORK
    ) as association:
        *_, last = association.get(uids.STUDY_ROOT_GET, encode(wanted, uids.EXPLICIT_LE), digests.sink)
    return last, digests.found


def echo(port: int) -> int:
    """C-ECHO on an association of its own; the status."""
    with connect(port) as association:
        return association.echo()


__all__ = [
    "CALLED",
    "CT",
    "SECRETS",
    "Book",
    "Element",
    "Sample",
    "Senders",
    "WebSenders",
    "connect",
    "echo",
    "query",
    "random_pixels",
    "retrieve",
    "sample",
    "send",
    "store",
    "stow",
    "try_to_retrieve",
]
