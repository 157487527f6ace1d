"""A whole archive with its DICOMweb door on a loopback port, and objects to send to it. For tests."""

import asyncio
import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from databases import migrated
from isocenter.archive.commitment.holding import Checker
from isocenter.archive.commitment.polled import Polled
from isocenter.archive.deletion import Deletions
from isocenter.archive.ingest import Ingest
from isocenter.archive.packs.series import Packs
from isocenter.config.settings import HostedAE
from isocenter.database import open as open_database
from isocenter.dicom.deidentify import Profile
from isocenter.imaging.engine import Bounds, Engine
from isocenter.index.writer import LocalWriter
from isocenter.store.filesystem import FilesystemStore
from isocenter.web import WebContext, WebSettings, create_app
from isocenter.workflow.workitems.entries import Workitems


class Archive:
    """Everything a test may look at behind the HTTP port."""

    def __init__(self, folder: Path, *, ae: HostedAE | None = None, **settings: Any) -> None:
        self.database = open_database(migrated(folder))
        self.writer = LocalWriter(self.database)
        self.store = FilesystemStore(folder / "store", durability="process", floor_bytes=0)
        self.engine = Engine(Bounds(frame=64 << 20, memory=1 << 30, patience=30.0), 2)
        self.packs = Packs(self.database, self.store, workers=1, quiet=0)
        self.context = WebContext(
            database=self.database,
            store=self.store,
            ingest=Ingest(self.store, self.writer),
            packs=self.packs,
            settings=WebSettings(**settings),
            deletions=Deletions(self.database, self.store, self.writer),
            ae=lambda: ae or HostedAE(),
            engine=self.engine,
            polled=Polled(self.database, Checker(self.database, self.store)),
            workitems=Workitems(self.database),
            deidentification=lambda: Profile(b"a secret of the tests"),
        )
        self.root = ""

    def close(self) -> None:
        self.context.lanes.close()
        self.engine.close()
        self.packs.close()
        self.context.selector.close()
        self.writer.close()
        self.store.close()
        self.database.close()


@contextmanager
def served(archive: Archive) -> Iterator[httpx.Client]:
    """The archive behind a real uvicorn in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    port = listener.getsockname()[1]
    config = uvicorn.Config(
        create_app(archive.context), log_level="error", access_log=False, lifespan="off", ws="websockets-sansio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    archive.root = f"http://127.0.0.1:{port}/dicom-web"
    try:
        with httpx.Client(base_url=archive.root, timeout=30, verify=False) as client:  # certificates take long to read
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def opened_archive(folder: Path, **settings: Any) -> Iterator[tuple[httpx.Client, Archive]]:
    """An archive of its own in `folder`, with its door."""
    archive = Archive(folder, **settings)
    try:
        with served(archive) as client:
            yield client, archive
    finally:
        archive.close()


def image(number: int = 1, *, study: str = "", series: str = "", syntax: str = ExplicitVRLittleEndian,
          **values: Any) -> Dataset:  # fmt: skip
    """A small CT image of a study and series that are made of the given names."""
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    made.SOPInstanceUID = generate_uid(entropy_srcs=[study, series, str(number), "image"])
    made.StudyDate, made.StudyTime, made.Modality = "20240131", "101500", "CT"
    made.AccessionNumber = f"A{study}"
    made.StudyDescription, made.SeriesDescription = "CHEST", "AXIAL"
    made.PatientName, made.PatientID = "Ødegård^Åse", "P1"
    made.PatientBirthDate, made.PatientSex = "19700101", "F"
    made.StudyInstanceUID = generate_uid(entropy_srcs=[study, "study"])
    made.SeriesInstanceUID = generate_uid(entropy_srcs=[study, series, "series"])
    made.SeriesNumber, made.InstanceNumber = 1, number
    made.Rows, made.Columns, made.BitsAllocated, made.BitsStored, made.HighBit = 4, 6, 16, 16, 15
    made.SamplesPerPixel, made.PixelRepresentation, made.PhotometricInterpretation = 1, 0, "MONOCHROME2"
    made.add_new(0x00091010, "OB", bytes(range(256)) * 8)
    made.PixelData = bytes((number + i) % 256 for i in range(48))
    for name, value in values.items():
        setattr(made, name, value)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def part10(made: Dataset) -> bytes:
    """The object as a file."""
    out = io.BytesIO()
    dcmwrite(out, made, enforce_file_format=True)
    return out.getvalue()


def multipart(files: list[bytes], boundary: str = "BOUNDARY") -> bytes:
    """A STOW-RS body."""
    lead = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"".join(lead + file + b"\r\n" for file in files) + f"--{boundary}--\r\n".encode()


STOW = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=BOUNDARY'}


def send(client: httpx.Client, *objects: Dataset) -> httpx.Response:
    """Store objects; they must all be taken."""
    answer = client.post("/studies", content=multipart([part10(each) for each in objects]), headers=STOW)
    assert answer.status_code == 200, answer.text
    return answer


def parts(answer: httpx.Response) -> list[tuple[str, bytes]]:
    """(Content-Type, content) of each part of a multipart answer."""
    kind = answer.headers["content-type"]
    boundary = kind.rpartition("boundary=")[2].encode()
    found = []
    for part in answer.content.split(b"--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        found.append((head.decode().strip().partition(": ")[2], content.removesuffix(b"\r\n")))
    return found
