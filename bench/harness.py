"""What every figure needs: our server and its peers, started fresh on loopback; corpora; clocks; a table at the end.

Folders lie under $ISOCENTER_BENCH (default: isocenter-bench in the temporary folder). A peer that isn't installed is
left out and named. Runs interleave the peers (every peer, then every peer again), since machines are noisy; tables show
medians, and ratios are taken within a run.
"""

import atexit
import contextlib
import http.client
import itertools
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

ROOT = Path(os.environ.get("ISOCENTER_BENCH") or Path(tempfile.gettempdir()) / "isocenter-bench")
REPOSITORY = Path(__file__).resolve().parents[1]
PLUGINS = Path("/usr/share/orthanc/plugins")
POSTGRES = Path("/usr/lib/postgresql/15/bin")
PROMPT = {**os.environ, "TCP_NODELAY": "1"}
"""DCMTK leaves Nagle's algorithm on without this: the kinder setting for the peers."""
NAGLE = {k: v for k, v in os.environ.items() if k != "TCP_NODELAY"}


_emptied = itertools.count()


def put_away(folder: Path) -> None:
    """Take what an earlier run left out of the way: its files are emptied now and removed when the program ends.

    A file system that was just given many inodes back looks at each of them again whenever a file is made (ext4
    without a journal does so for one to six minutes), and that would be measured."""
    if not folder.is_dir():
        return
    away = folder.with_name(f"{folder.name}.away.{os.getpid()}.{next(_emptied)}")
    folder.rename(away)
    for path in away.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.truncate(path, 0)
    atexit.register(shutil.rmtree, away, ignore_errors=True)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Peer:
    """A server under measurement. Subclasses give `command`; `title` is its AE title, `web` its DICOMweb root."""

    title = "PEER"
    web = ""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = ROOT / "run" / name
        self.port, self.http = free_port(), free_port()
        self.sink = 0
        self.processes: list[subprocess.Popen[bytes]] = []

    def command(self) -> list[str]:
        raise NotImplementedError

    def available(self) -> bool:
        return shutil.which(self.command()[0]) is not None

    def start(self, sink: int = 0) -> "Peer":
        """Start on an empty folder; returns when a C-ECHO succeeds. `sink`: port of the C-MOVE destination BENCH."""
        put_away(self.folder)
        self.folder.mkdir(parents=True)
        os.sync()
        self.sink = sink
        self.spawn(self.command())
        self.wait()
        return self

    def spawn(self, command: Sequence[str], **options: object) -> None:
        with open(f"{self.folder}.log", "ab") as log:
            process = subprocess.Popen(  # type: ignore[call-overload]
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=PROMPT, **options
            )
        self.processes.append(process)

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        echo = ["echoscu", "-aet", "BENCH", "-aec", self.title, "127.0.0.1", str(self.port)]
        while subprocess.run(echo, env=PROMPT, capture_output=True).returncode:
            if time.monotonic() > deadline or self.processes[-1].poll() is not None:
                raise RuntimeError(f"{self.name} did not start; see {self.folder}.log")
            time.sleep(0.05)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []

    def tree(self) -> list[psutil.Process]:
        found = []
        for process in self.processes:
            with contextlib.suppress(psutil.Error):  # it ended meanwhile
                top = psutil.Process(process.pid)
                found += [top, *top.children(recursive=True)]
        return found

    def cpu(self) -> float:
        """CPU seconds used so far by all of its processes."""
        total = 0.0
        for process in self.tree():
            with contextlib.suppress(psutil.Error):  # it ended meanwhile
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def memory(self) -> float:
        """Proportional set size of all of its processes, MB."""
        total = 0
        for process in self.tree():
            with contextlib.suppress(psutil.Error):  # it ended meanwhile
                total += process.memory_full_info().pss
        return total / 1e6


RULES = [
    {
        "when": "receive",
        "where": [{"attribute": "PatientID", "exists": True}],
        "do": [{"replace": "PatientID", "pattern": "^", "by": "BENCH-"}],
    },
    {"when": "receive", "modalities": ["CT", "MR"], "do": [{"set": "InstitutionName", "value": "Bench"}]},
    {
        "when": "receive",
        "where": [{"attribute": "StationName", "matches": "^(CT|MR)\\d+"}],
        "do": [{"map": "StationName", "table": {"CT1": "CT ONE"}}],
    },
]
"""Three rules on receiving, of which two change every object."""


class Isocenter(Peer):
    """Ours, as `isocenter serve` starts it; `settings` are environment variables."""

    title, web = "ISOCENTER", "/dicom-web"

    def __init__(self, name: str = "isocenter", **settings: str) -> None:
        super().__init__(name)
        self.settings, self.hl7 = settings, free_port()

    def wait(self) -> None:
        """Until all of its processes serve: those that come last would share the machine with what is measured."""
        super().wait()
        deadline = time.monotonic() + 60
        while not self.ready():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} is not ready; see {self.folder}.log")
            time.sleep(0.05)

    def ready(self) -> bool:
        """Whether it says so."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=10)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def command(self) -> list[str]:
        program = [str(Path(sys.executable).parent / "isocenter"), "serve", "--data", str(self.folder / "data")]
        config = self.folder / "isocenter.toml"
        if self.folder.is_dir():
            config.write_text(f'[[peer]]\ntitle = "BENCH"\nhost = "127.0.0.1"\nport = {self.sink or 1}\n')
        env = [f"{key}={value}" for key, value in self.settings.items()]
        return ["env", *env, *program, "--config", str(config), "--dicom-port", str(self.port), "--http-port",
                str(self.http), "--hl7-port", str(self.hl7)]  # fmt: skip


class Orthanc(Peer):
    title, web = "ORTHANC", "/dicom-web"
    extra: dict[str, object] = {}  # noqa: RUF012
    plugins: tuple[str, ...] = ("libOrthancDicomWeb.so",)

    def available(self) -> bool:
        return shutil.which("Orthanc") is not None and (PLUGINS / self.plugins[-1]).exists()

    def command(self) -> list[str]:
        path = Path(f"{self.folder}.json")
        settings = {
            "Name": self.name, "StorageDirectory": f"{self.folder}/db", "IndexDirectory": f"{self.folder}/db",
            "DicomAet": self.title, "DicomPort": self.port, "HttpPort": self.http, "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False, "DicomAlwaysAllowFind": True, "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowMove": True, "DicomModalities": {"bench": ["BENCH", "127.0.0.1", self.sink or 1]},
            "Plugins": [str(PLUGINS / plugin) for plugin in self.plugins],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}, **self.extra,
        }  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
        return ["Orthanc", str(path)]


class OrthancPostgres(Orthanc):
    """Orthanc with its index in a PostgreSQL of its own."""

    plugins = (*Orthanc.plugins, "libOrthancPostgreSQLIndex.so")

    def start(self, sink: int = 0) -> Peer:
        data, port = Path(f"{self.folder}.pg"), free_port()
        self.extra = {
            "PostgreSQL": {
                "EnableIndex": True, "EnableStorage": False, "Host": "127.0.0.1", "Port": port,
                "Database": "postgres", "Username": "postgres", "Password": "", "Lock": False,
            }
        }  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True)
        start_postgres(self, data, port)
        return super().start(sink)


def start_postgres(peer: Peer, data: Path, port: int) -> None:
    """A throwaway PostgreSQL on loopback, among `peer`'s processes."""
    put_away(data)
    data.mkdir(parents=True)
    shutil.chown(data, "postgres", "postgres")
    initdb = [str(POSTGRES / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres"]
    subprocess.run(initdb, check=True, capture_output=True, user="postgres", cwd="/")
    options = ["-p", str(port), "-k", str(data), "-c", "listen_addresses=127.0.0.1"]
    peer.spawn([str(POSTGRES / "postgres"), "-D", str(data), *options], user="postgres", cwd="/")
    ready = [str(POSTGRES / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ready).returncode:
        time.sleep(0.05)


class StoreSCP(Peer):
    """DCMTK's receiver: with `--ignore` the sender's ceiling, without it files that are neither synced nor indexed."""

    def __init__(self, name: str, *options: str, title: str = "PEER") -> None:
        super().__init__(name)
        self.options, self.title = options, title

    def command(self) -> list[str]:
        return ["storescp", "--fork", "-aet", self.title, *self.options, "-od", str(self.folder), str(self.port)]


def all_peers() -> dict[str, Peer]:
    """Every server that a figure may name."""
    peers: list[Peer] = [
        StoreSCP("null", "--ignore"), StoreSCP("storescp"), Orthanc("orthanc-sqlite"), OrthancPostgres("orthanc-pg"),
        Isocenter(), Isocenter("isocenter-process", ISOCENTER_DURABILITY="process"),
        Isocenter("isocenter-behind", ISOCENTER_INDEX__BEHIND="true"),
        Isocenter("isocenter-one", ISOCENTER_PROCESSES__DICOM="1"),
        Isocenter("isocenter-rules", ISOCENTER_RULE=json.dumps(RULES)),
    ]  # fmt: skip
    return {peer.name: peer for peer in peers}


def chosen(names: str, default: str) -> list[Peer]:
    """The peers of a comma separated list that are installed; says which are not."""
    known, found = all_peers(), []
    for name in (names or default).split(","):
        if known[name].available():
            found.append(known[name])
        else:
            print(f"left out: {name} is not installed", file=sys.stderr)
    return found


@contextlib.contextmanager
def running(peer: Peer, sink: int = 0) -> Iterator[Peer]:
    """`peer`, started, stopped at the end whatever happens."""
    try:
        yield peer.start(sink)
    finally:
        peer.stop()


def parts(corpus: Path, n: int, limit: int | None = None) -> tuple[list[Path], int, int]:
    """`n` folders of hard links that share the corpus's files; (folders, number of files, bytes)."""
    files = sorted(path for path in corpus.rglob("*") if path.is_file())[:limit]
    base = ROOT / "parts" / f"{corpus.parent.name}-{n}-{limit}"
    if not base.is_dir():
        for i, path in enumerate(files):
            folder = base / str(i * n // len(files))
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{i:07d}.dcm").hardlink_to(path)
    return [base / str(i) for i in range(n)], len(files), sum(path.stat().st_size for path in files)


def send(peer: Peer, folders: Sequence[Path], env: dict[str, str] = PROMPT) -> tuple[float, int]:
    """Send each folder over an association of its own with dcmsend; (seconds, errors)."""
    command = ["dcmsend", "+sd", "+r", "-nh", "-pdu", "131072", "-aet", "BENCH", "-aec", peer.title, "127.0.0.1"]
    started = time.perf_counter()
    senders = [
        subprocess.Popen([*command, str(peer.port), str(folder)], env=env, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE)
        for folder in folders
    ]  # fmt: skip
    said = [sender.communicate()[1] for sender in senders]
    elapsed = time.perf_counter() - started
    wrong = sum(line.startswith((b"E:", b"W:")) for text in said for line in text.splitlines())
    return elapsed, wrong + sum(sender.returncode != 0 for sender in senders)


class Results:
    """Rows of one figure: printed as they come, a table of medians and ratios at the end."""

    def __init__(self, figure: str, baseline: str) -> None:
        self.figure, self.baseline, self.rows = figure, baseline, list[dict[str, object]]()

    def add(self, peer: str, case: str, **values: float) -> None:
        row = {"figure": self.figure, "peer": peer, "case": case, **{k: round(v, 4) for k, v in values.items()}}
        self.rows.append(row)
        print(json.dumps(row), flush=True)

    def median(self, peer: str, case: str, key: str) -> float | None:
        values = [float(str(r[key])) for r in self.rows if r["peer"] == peer and r["case"] == case and key in r]
        return statistics.median(values) if values else None

    def table(self, key: str, *, lower_is_better: bool = False) -> None:
        """Medians of `key` by case and peer, and each as a multiple of the baseline's (more is better)."""
        peers = list(dict.fromkeys(str(row["peer"]) for row in self.rows))
        print(f"\n{self.figure}: {key}, and times {self.baseline}")
        for case in dict.fromkeys(str(row["case"]) for row in self.rows):
            base = self.median(self.baseline, case, key)
            cells = []
            for peer in peers:
                value = self.median(peer, case, key)
                if value is None:
                    continue
                ratio = (base / value if lower_is_better else value / base) if base and value else 0
                cells.append(f"{peer} {value:.4g} ({ratio:.2f} x)")
            print(f"  {case:34} " + "  ".join(cells))

    def shares(self, key: str, whole: str) -> None:
        """Medians of `key` as parts of those of `whole`."""
        peers = list(dict.fromkeys(str(row["peer"]) for row in self.rows))
        print(f"\n{self.figure}: {key}, parts of {whole}")
        for case in dict.fromkeys(str(row["case"]) for row in self.rows):
            most = self.median(whole, case, key)
            values = {peer: self.median(peer, case, key) for peer in peers if peer != whole}
            cells = [f"{peer} {value / most:.2f}" for peer, value in values.items() if value and most]
            print(f"  {case:34} " + "  ".join(cells))
