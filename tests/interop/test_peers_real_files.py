"""Every real file there is: sent, found, and brought back with the bytes that went over the wire, by C-GET, C-MOVE and
WADO-RS."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from archives import NETWORK, Destination, Object, answered, keys, listening
from isocenter import dimse
from isocenter.dicom import convert, part10, uids
from isocenter.dicom.dataset import decode, encode, string_of
from isocenter.dicom.scan import scan
from isocenter.dicom.uids import transfer_syntax
from isocenter.dimse import ProposedContext
from isocenter.errors import IsocenterError
from isocenter.exchange.contexts import proposals
from material import collection_files, packaged_files
from peer_programs import configured, needs, report, run, storescp
from servers import Server

CLASS, INSTANCE, STUDY, SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
REFUSED = {"rtplan_truncated.dcm": 0xC000}
"""Cut in the middle of its header."""

Path3 = tuple[str, str, str]
"""Study, series and SOP Instance UID."""


@dataclass
class Sent:
    """The server and what it acknowledged."""

    server: Server
    destination: Destination
    statuses: dict[Path, int]
    nameless: set[Path]
    """Files without a study or series, which no archive can file."""
    in_force: dict[Path3, Object]
    """The first object of each path."""

    @property
    def expected(self) -> Counter[tuple[str, str]]:
        """SOP Instance UID and digest of everything that can be retrieved."""
        return Counter((path[2], each.digest) for path, each in self.in_force.items())

    @property
    def kinds(self) -> set[tuple[str, str]]:
        """Class and syntax of everything."""
        return {(each.sop_class, each.syntax) for each in self.in_force.values()}

    @property
    def studies(self) -> list[str]:
        """Their Study Instance UIDs."""
        return sorted({study for study, _, _ in self.in_force})


def wire_object(path: Path) -> Object | None:
    """The data set of a file as it would be sent; None for what is no object."""
    content = path.read_bytes()
    try:
        header = part10.read_header(content)
        data = content[header.offset :]
        found = scan(data, header.syntax, frozenset({CLASS, INSTANCE, STUDY, SERIES})).elements
    except IsocenterError:
        if path.name not in REFUSED:
            return None
        return Object(header.sop_class, header.sop_instance, header.syntax, data, "1.2.3", "1.2.3")
    named = [
        found[tag].value.decode("ascii").strip(" \0") if tag in found else ""
        for tag in (CLASS, INSTANCE, STUDY, SERIES)
    ]
    if not named[0] or not named[1]:
        return None
    return Object(named[0], named[1], header.syntax, data, named[2], named[3])


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sent]:
    """A whole server that was sent everything, in the order of the files' names."""
    folder = tmp_path_factory.mktemp("real")
    files = {path: each for path in (*collection_files(), *packaged_files()) if (each := wire_object(path)) is not None}
    assert len(files) > (200 if collection_files() else 50)
    destination = Destination()
    with ExitStack() as stack:
        stack.enter_context(listening(destination))
        server = stack.enter_context(Server(configured(folder / "data", destination.peer)))
        statuses = _send(server.dicom_port, files)
        nameless = {path for path, each in files.items() if not each.study or not each.series}
        in_force: dict[Path3, Object] = {}
        for path, each in files.items():
            if statuses[path] == 0:
                in_force.setdefault((each.study, each.series, each.sop_uid), each)
        yield Sent(server, destination, statuses, nameless, in_force)


def connected(port: int, *contexts: ProposedContext) -> dimse.ClientAssociation:
    """An association with the server."""
    return dimse.connect(("127.0.0.1", port), calling="TESTER", called="ISOCENTER", contexts=contexts, settings=NETWORK)


def _send(port: int, files: dict[Path, Object]) -> dict[Path, int]:
    statuses = {}
    for group in proposals({(each.sop_class, each.syntax) for each in files.values()}):
        classes = {proposal.sop_class for proposal in group}
        with connected(port, *(ProposedContext(*proposal) for proposal in group)) as association:
            for path, each in files.items():
                if each.sop_class in classes:
                    statuses[path] = answered(association, each).status
    return statuses


@pytest.mark.req("I-STORE-08", "I-STORE-12", "M-STORE-08")
def test_all_are_accepted(sent: Sent) -> None:
    refused = {path: f"{status:04X}" for path, status in sent.statuses.items() if status and path not in sent.nameless}
    assert {path.name for path in refused} <= REFUSED.keys(), refused
    assert all(sent.statuses[path] == 0xC000 for path in sent.nameless)
    assert len(sent.in_force) > (90 if collection_files() else 30), "the collection is gone"


@pytest.mark.req("I-STORE-05", "M-STORE-04")
def test_all_are_found(sent: Sent) -> None:
    model = uids.STUDY_ROOT_FIND
    asking = keys("IMAGE", StudyInstanceUID="", SeriesInstanceUID="", SOPInstanceUID="", SOPClassUID="")
    with connected(
        sent.server.dicom_port, ProposedContext(model, (uids.EXPLICIT_LE,), extended=b"\1\0\0")
    ) as association:
        *answers, last = association.find(model, encode(asking, uids.EXPLICIT_LE))
    assert last.status == 0
    found = [decode(answer.data, uids.EXPLICIT_LE) for answer in answers if answer.data is not None]
    rows = Counter(tuple(string_of(row, tag) for tag in (STUDY, SERIES, INSTANCE, CLASS)) for row in found)
    assert rows == Counter((*path, each.sop_class) for path, each in sent.in_force.items())


class _Digests:
    def __init__(self) -> None:
        self.found: Counter[tuple[str, str]] = Counter()

    def sink(self, association: object, context: object, command: dimse.Command) -> "_Digest":
        return _Digest(self.found, str(command[dimse.commands.AFFECTED_SOP_INSTANCE]))


class _Digest(dimse.BufferSink):
    def __init__(self, found: Counter[tuple[str, str]], instance: str) -> None:
        super().__init__(1 << 30)
        self._found, self._instance = found, instance

    def close(self) -> None:
        self._found[self._instance, hashlib.sha256(self.value()).hexdigest()] += 1


@pytest.mark.req("I-STORE-03", "I-MOVE-01", "M-GET-01")
def test_all_come_back_by_c_get(sent: Sent) -> None:
    model, digests = uids.STUDY_ROOT_GET, _Digests()
    assert len(sent.kinds) < 128
    contexts = [ProposedContext(c, (s,), scu=False, scp=True) for c, s in sorted(sent.kinds)]
    wanted = encode(keys("STUDY", StudyInstanceUID="\\".join(sent.studies)), uids.EXPLICIT_LE)
    with connected(sent.server.dicom_port, ProposedContext(model, (uids.EXPLICIT_LE,)), *contexts) as association:
        *_, last = association.get(model, wanted, digests.sink)
    assert last[:5] == (0, None, len(sent.in_force), 0, 0)
    assert digests.found == sent.expected


@pytest.mark.req("I-STORE-03", "I-MOVE-01", "M-STORE-02", "M-SEND-02")
def test_all_come_back_by_c_move(sent: Sent) -> None:
    model = uids.STUDY_ROOT_MOVE
    wanted = encode(keys("STUDY", StudyInstanceUID="\\".join(sent.studies)), uids.EXPLICIT_LE)
    with connected(sent.server.dicom_port, ProposedContext(model, (uids.EXPLICIT_LE,))) as association:
        *_, last = association.move(model, wanted, "DEST")
    assert last[:5] == (0, None, len(sent.in_force), 0, 0)
    received = Counter((each.sop_uid, hashlib.sha256(each.data).hexdigest()) for each in sent.destination.received)
    assert received == sent.expected


def _parts(answer: httpx.Response) -> list[bytes]:
    boundary = answer.headers["content-type"].rpartition("boundary=")[2].strip('"').encode()
    parts = answer.content.split(b"\r\n--" + boundary)
    parts[0] = parts[0].removeprefix(b"--" + boundary)
    return [part.partition(b"\r\n\r\n")[2] for part in parts[:-1]]


@pytest.mark.req("I-STORE-03", "M-STORE-02")
def test_all_come_back_by_wado_rs(sent: Sent) -> None:
    found: Counter[tuple[str, str]] = Counter()
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    with httpx.Client(base_url=f"{sent.server.url}/dicom-web", timeout=60, headers={"Accept": accept}) as client:
        for study in sent.studies:
            answer = client.get(f"/studies/{study}")
            assert answer.status_code == 200, answer.text
            for part in _parts(answer):
                header = part10.read_header(part)
                data = part[header.offset :]
                found[header.sop_instance, hashlib.sha256(data).hexdigest()] += 1
    assert found == Counter(
        (instance, hashlib.sha256(_leaving(each.data, each.syntax)).hexdigest())
        for (_, _, instance), each in sent.in_force.items()
    )


def _leaving(data: bytes, syntax: str) -> bytes:
    """Over the web services nothing leaves in an implicit or big endian syntax (PS3.18 8.7.3)."""
    if syntax != uids.EXPLICIT_BE and not transfer_syntax(syntax).implicit:
        return data
    return b"".join(convert.convert(_reader(data), len(data), syntax, uids.EXPLICIT_LE))


def test_native_ones_come_back_in_explicit_little_endian(sent: Sent) -> None:
    accept = f'application/dicom; transfer-syntax="{uids.EXPLICIT_LE}"'
    compared = 0
    with httpx.Client(base_url=f"{sent.server.url}/dicom-web", timeout=60, headers={"Accept": accept}) as client:
        for (study, series, instance), each in sent.in_force.items():
            if transfer_syntax(each.syntax).encapsulated:
                continue
            answer = client.get(f"/studies/{study}/series/{series}/instances/{instance}")
            assert answer.status_code == 200, answer.text
            header = part10.read_header(answer.content)
            assert header.syntax == uids.EXPLICIT_LE
            assert answer.content[header.offset :] == b"".join(
                convert.convert(_reader(each.data), len(each.data), each.syntax, uids.EXPLICIT_LE)
            )
            compared += 1
    assert compared > (40 if collection_files() else 12)


def _reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda at, n: data[at : at + n]


@needs("dcmsend", "storescp")
def test_dcmtk_gets_nothing_more_accepted_by_its_own_receiver(tmp_path: Path) -> None:
    folders = sorted({_top(path) for path in (*collection_files(), *packaged_files())})
    command = ["dcmsend", "-nh", "-dn", "+sd", "+r"]
    with storescp(tmp_path / "received", "+xa", "--promiscuous") as peer:
        run(*command, "+crf", tmp_path / "theirs.txt", "127.0.0.1", peer.port, *folders, ok=False)
    with Server(configured(tmp_path / "data")) as server:
        to_us = ("-aec", "ISOCENTER", "127.0.0.1", server.dicom_port)
        run(*command, "+crf", tmp_path / "ours.txt", *to_us, *folders, ok=False)
    theirs, ours = report(tmp_path / "theirs.txt"), report(tmp_path / "ours.txt")
    assert sum(status == "0000" for status in theirs.values()) > 100
    missing = {name: ours.get(name) for name, status in theirs.items() if status == "0000" and ours.get(name) != "0000"}
    nameless = {name for name in missing if (each := wire_object(Path(name))) is None or not each.study}
    assert not missing.keys() - nameless, missing


def _top(path: Path) -> Path:
    """The folder to give to a sender: one below those of the material."""
    return next(parent for parent in path.parents if parent.name in ("data", "test_files"))
