"""The web room by itself: DICOMweb over one kept connection, without the other processes of the server.

    python bench/web.py [--ct FOLDER] [--small FOLDER] [--instances 1000]

The comparison with other servers is `figure_web.py`; this is for work on the room. FOLDERs hold Part 10 files.
"""

import argparse
import asyncio
import http.client
import multiprocessing
import socket
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from corpus import CT, FIND, corpus
from pydicom import dcmread

JSON = {"Accept": "application/dicom+json"}
PACKED = {**JSON, "Accept-Encoding": "gzip"}
FRAME = {"Accept": 'multipart/related; type="application/octet-stream"'}
OBJECTS = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
STOW = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=XX', **JSON}


def serve(folder: str, durability: str, control: Connection) -> None:
    """An archive with its door; tells its port, ends when told to."""
    import uvicorn
    import uvloop

    from isocenter.archive.ingest import Ingest
    from isocenter.archive.packs.series import Packs
    from isocenter.database import migrate
    from isocenter.database import open as open_database
    from isocenter.index.writer import LocalWriter
    from isocenter.store.filesystem import FilesystemStore
    from isocenter.web import WebContext, create_app

    url = f"sqlite:///{folder}/index.db"
    migrate(url)
    database = open_database(url)
    writer = LocalWriter(database)
    store = FilesystemStore(f"{folder}/store", durability=durability)
    packs = Packs(database, store, quiet=0)
    context = WebContext(database, store, Ingest(store, writer), packs)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    control.send(listener.getsockname()[1])
    config = uvicorn.Config(create_app(context), log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(config)

    async def run() -> None:
        ending = asyncio.get_running_loop().run_in_executor(None, control.recv)
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        await ending
        server.should_exit = True
        await serving

    uvloop.run(run())
    context.lanes.close()
    packs.close()
    writer.close()
    database.close()


class Client:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)

    def call(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[float, bytes]:
        """(seconds, answer); stops at anything but success."""
        started = time.perf_counter()
        self.connection.request(method, "/dicom-web" + path, body, headers)
        answer = self.connection.getresponse()
        data = answer.read()
        elapsed = time.perf_counter() - started
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {data[:200]!r}")
        return elapsed, data

    def figure(self, name: str, path: str, headers: dict[str, str], times: int) -> None:
        """Print the median of some GETs."""
        spans, size = [], 0
        for _ in range(times):
            elapsed, data = self.call("GET", path, None, headers)
            spans.append(elapsed)
            size = len(data)
        middle = statistics.median(spans)
        print(f"{name:40} {1e3 * middle:9.2f} ms  {size / 1e3:11.1f} kB  {size / 1e6 / middle:8.0f} MB/s", flush=True)

    def stow(self, name: str, files: list[Path], each: int) -> None:
        """Store files, some a request, and print the rate."""
        total = size = 0.0
        for i in range(0, len(files), each):
            lead = b"--XX\r\nContent-Type: application/dicom\r\n\r\n"
            body = b"".join([lead + file.read_bytes() + b"\r\n" for file in files[i : i + each]]) + b"--XX--\r\n"
            total += self.call("POST", "/studies", body, STOW)[0]
            size += len(body)
        print(f"{name:40} {len(files) / total:9.1f} /s  {size / 1e6 / total:8.0f} MB/s", flush=True)


def main() -> None:
    """Load, then measure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--ct", type=Path)
    options.add_argument("--small", type=Path)
    options.add_argument("--instances", type=int, default=1000)
    options.add_argument("--durability", default="power")
    given = options.parse_args()
    large = sorted((given.ct or corpus(CT)).rglob("*.dcm"))[: given.instances + 200]
    given.instances = min(given.instances, len(large) - 200)
    small = sorted((given.small or corpus(FIND)).rglob("*.dcm"))[:1000]
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    with tempfile.TemporaryDirectory() as folder:
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, given.durability, theirs))
        server.start()
        try:
            client = Client(ours.recv())
            client.stow("STOW small, 1 a request", small, 1)
            client.stow("STOW CT, 10 a request", large[: given.instances], 10)
            measure(client, large[0])
            client.stow("STOW CT, 1 a request", large[given.instances :], 1)
        finally:
            ours.send(None)
            server.join()


def measure(client: Client, file: Path) -> None:
    """Reads of the loaded series."""
    ct = dcmread(file, stop_before_pixels=True)
    series = f"/studies/{ct.StudyInstanceUID}/series/{ct.SeriesInstanceUID}"
    one = f"{series}/instances/{ct.SOPInstanceUID}"
    client.figure("metadata, made now", f"{series}/metadata", JSON, 1)
    client.figure("metadata, again", f"{series}/metadata", JSON, 5)
    client.figure("metadata, again, gzip", f"{series}/metadata", PACKED, 5)
    client.figure("QIDO instances of the series", f"{series}/instances", JSON, 5)
    client.figure("QIDO 50 studies", "/studies?limit=50&offset=100", JSON, 20)
    client.figure("QIDO PatientID", f"/studies?PatientID={ct.PatientID}", JSON, 20)
    client.figure("metadata, instance", f"{one}/metadata", JSON, 30)
    client.figure("WADO instance", one, OBJECTS, 30)
    client.figure("frame", f"{one}/frames/1", FRAME, 30)
    client.figure("WADO study", f"/studies/{ct.StudyInstanceUID}", OBJECTS, 3)


if __name__ == "__main__":
    main()
