"""What the storing process takes for an object: CPU milliseconds, user and system, with nothing else in the process.

    python bench/receive.py [--case small|ct] [--associations 1] [--count 2000] [--rounds 3] [--rules]
    python bench/receive.py --profile 40        where one association's thread spends its time, by function

Steadier than the rates of `figure_store.py`: senders are processes of their own with messages made beforehand, and only
the receiver's CPU counts. The wiring is that of one dicom process.
"""

import argparse
import cProfile
import json
import os
import pstats
import resource
import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ceiling import connected, read_pdu
from corpus import CT, SMALL, corpus
from harness import RULES

from isocenter import database
from isocenter.archive.ingest import Ingest
from isocenter.config.loading import load
from isocenter.database.schema import migrate
from isocenter.dicom import part10
from isocenter.dimse import Acceptor, ProposedContext, Settings, commands
from isocenter.dimse.association import Association
from isocenter.dimse.negotiation import propose
from isocenter.dimse.outbound import command_pdus, data_pdus, fragment_size
from isocenter.dimse.pdu import AssociateAccept, ReleaseRequest, encode
from isocenter.dimse.pdu_reading import decode
from isocenter.index.keys import wanted
from isocenter.index.shared import SharedWriter
from isocenter.server.archive import Archive
from isocenter.server.places import open_store
from isocenter.server.policy import ArchivePolicy, network_settings
from isocenter.server.services import service_map

_SENDER = Settings(max_pdu=1 << 17)
_SUCCESS = b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00"
"""(0000,0900) with 0000."""


class _Starts:
    """Pipes on which senders say that they are ready and done, and are told to go."""

    def __init__(self) -> None:
        self._told, self._tell = os.pipe()
        self._wait, self._go = os.pipe()

    def say(self) -> None:
        os.write(self._tell, b".")

    def wait(self) -> None:
        os.read(self._wait, 1)

    def gather(self, count: int) -> None:
        for _ in range(count):
            os.read(self._told, 1)

    def let_go(self, count: int) -> None:
        os.write(self._go, b"." * count)


def _send(port: int, paths: Sequence[Path], starts: _Starts) -> None:
    """One sender: a command and a data set at a time, as storescu sends them, each after the response before."""
    wholes = [path.read_bytes() for path in paths]
    headers = [part10.read_header(whole) for whole in wholes]
    contexts = [ProposedContext(headers[0].sop_class, (headers[0].syntax,))]
    with connected(socket.create_connection(("127.0.0.1", port))) as sock:
        sock.sendall(encode(propose(contexts, calling="BENCH", called="ISOCENTER", settings=_SENDER)))
        answer = decode(*read_pdu(sock))
        assert isinstance(answer, AssociateAccept)
        size = fragment_size(answer.user.max_pdu, _SENDER.max_pdu_sent)
        messages = []
        for header, whole in zip(headers, wholes, strict=True):
            command = commands.store_rq(header.sop_class, header.sop_instance)
            command |= {commands.MESSAGE_ID: 1, commands.DATA_SET_TYPE: commands.DATA_FOLLOWS}
            messages.append((command_pdus(1, command, size), data_pdus(1, whole[header.offset :], size)))
        starts.say()
        starts.wait()
        for before, data in messages:
            sock.sendall(before)
            sock.sendall(data)
            _, response = read_pdu(sock)
            assert _SUCCESS in response, response
        starts.say()
        sock.sendall(encode(ReleaseRequest()))
        read_pdu(sock)


@contextmanager
def _receiver(folder: Path, listener: socket.socket, variables: dict[str, str]) -> Iterator[None]:
    """One dicom process's worth of archive on `folder`."""
    settings = load(environment={"ISOCENTER_DATA": str(folder), **variables})
    with ExitStack() as stack:
        store = open_store(settings)
        stack.callback(store.close)
        index = database.open(settings.database_url, durable=settings.durability == "power")
        stack.callback(index.close)
        writer = SharedWriter(index, folder / "index.sock")
        stack.callback(writer.close)
        ingest = Ingest(store, writer, wanted=wanted(settings.index.attributes))
        archive = stack.enter_context(_closing(Archive(store, index, writer, ingest, ExitStack())))
        policy = ArchivePolicy(settings)
        acceptor = Acceptor(policy, service_map(archive, policy, settings), network_settings(settings))
        threading.Thread(target=acceptor.serve, args=(listener,), daemon=True).start()
        stack.callback(acceptor.stop)
        yield


@contextmanager
def _closing(archive: Archive) -> Iterator[Archive]:
    try:
        yield archive
    finally:
        archive.close()


def _profiled(profile: cProfile.Profile) -> None:
    serve = Association.serve

    def profiled(self: Association) -> str:
        return str(profile.runcall(serve, self))

    Association.serve = profiled  # type: ignore[method-assign]


def _measured(template: Path, paths: Sequence[Path], associations: int, variables: dict[str, str]) -> list[float]:
    """User and system CPU milliseconds an object, both together, and objects a second."""
    folder = Path(tempfile.mkdtemp(dir=template.parent))
    shutil.copytree(template, folder, dirs_exist_ok=True)
    starts, children = _Starts(), []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for k in range(associations):
            child = os.fork()
            if not child:
                with suppress(KeyboardInterrupt):  # the parent says so
                    _send(listener.getsockname()[1], paths[k::associations], starts)
                    os._exit(0)
                os._exit(1)
            children.append(child)
        with _receiver(folder, listener, variables):
            starts.gather(associations)
            before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
            starts.let_go(associations)
            starts.gather(associations)
            after, elapsed = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - began
            for child in children:
                assert os.waitpid(child, 0)[1] == 0
    shutil.rmtree(folder)
    user = 1e3 * (after.ru_utime - before.ru_utime) / len(paths)
    system = 1e3 * (after.ru_stime - before.ru_stime) / len(paths)
    return [user, system, user + system, len(paths) / elapsed]


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default="small", choices=("small", "ct"))
    parser.add_argument("--associations", type=int, default=1)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rules", action="store_true", help="with three rules, of which two change every object")
    parser.add_argument("--durability", default="power")
    parser.add_argument("--profile", type=int, default=0, metavar="LINES")
    parser.add_argument("--sort", default="tottime")
    given = parser.parse_args()
    paths = sorted(corpus(CT if given.case == "ct" else SMALL).rglob("*.dcm"))[: given.count]
    variables = {"ISOCENTER_DURABILITY": given.durability}
    if given.rules:
        variables["ISOCENTER_RULE"] = json.dumps(RULES)
    profile = cProfile.Profile()
    if given.profile:
        _profiled(profile)
    with tempfile.TemporaryDirectory(prefix="receive-") as folder:
        template = Path(folder) / "template"
        template.mkdir()
        migrate(load(environment={"ISOCENTER_DATA": str(template)}).database_url)
        rows = [_measured(template, paths, given.associations, variables) for _ in range(given.rounds)]
    user, system, both, rate = (statistics.median(column) for column in zip(*rows, strict=True))
    least = min(row[2] for row in rows)
    print(f"{given.case}/{given.associations}{' rules' * given.rules} {given.durability}: CPU ms an object {both:.3f}"
          f" (user {user:.3f}, system {system:.3f}; least {least:.3f}), {rate:.0f} objects/s")  # fmt: skip
    if given.profile:
        pstats.Stats(profile).sort_stats(given.sort).print_stats(given.profile)


if __name__ == "__main__":
    main()
