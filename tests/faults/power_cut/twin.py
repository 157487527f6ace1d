"""Power cuts for tests: run programs so that what they did not sync is lost when they are killed.

    cut = PowerCut(tmp_path / "data", compile_shim(tmp_path))
    server = subprocess.Popen([...], env={**os.environ, **cut.environment})
    ...                                  # load; note what was acknowledged
    os.killpg(server.pid, signal.SIGKILL); server.wait()
    cut.cut()                            # data/ now holds what the disk would
    ...                                  # start again, with the same environment; look for what was acknowledged

The shim (`shim.c`, preloaded) follows every `fsync` and `fdatasync` under the folder, of all processes that inherit the
environment, whatever they do (the store, SQLite, C libraries). Two kinds of cut:

`cut()`           strict: exactly what was synced. Content counts by file, names by folder, as POSIX has it.
`cut(torn=rng)`   what was synced, and of the rest a random part: single pages of files, names of new files. Real disks
                  do this, and it finds a record that is trusted although half of it is missing.

What is in the folder when `PowerCut` is made counts as durable. The folder must lie on a file system with birth times
(ext4, xfs, btrfs, tmpfs) or inode numbers must not be used again meanwhile. Files open with O_SYNC, `sync`, `syncfs`
and `msync` are not followed: what relies on them alone is lost.
"""

import ctypes
import os
import random
import shutil
import subprocess
from pathlib import Path

PAGE = 4096
SOURCE = Path(__file__).with_name("shim.c")


class NoCompiler(Exception):
    """There is no C compiler here; the test is to be skipped with this reason."""


def compile_shim(folder: Path) -> Path:
    """Compile the shim into `folder`; raises NoCompiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCompiler("no C compiler (apt-get install gcc libc6-dev)")
    target = folder / "power_cut.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-o", str(target), str(SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoCompiler(f"{compiler} could not compile the shim: {done.stderr.strip()[:200]}")
    return target


class PowerCut:
    """Watches one folder. Its twin lies beside it, named `<root>.twin`."""

    def __init__(self, root: Path, shim: Path) -> None:
        self.root = root
        self.twin = root.with_name(root.name + ".twin")
        self._shim = shim
        self._call = ctypes.CDLL(str(shim)).power_cut_id
        self._call.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
        root.mkdir(parents=True, exist_ok=True)
        self.settle()

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to be followed, with all its children."""
        preload = f"{self._shim} {os.environ.get('LD_PRELOAD', '')}".strip()
        return {"LD_PRELOAD": preload, "POWER_CUT_ROOT": str(self.root), "POWER_CUT_TWIN": str(self.twin)}

    def settle(self) -> None:
        """Everything in the folder is durable now. Only while no process runs."""
        shutil.rmtree(self.twin, ignore_errors=True)
        for name in ("files", "names", "locks"):
            (self.twin / name).mkdir(parents=True)
        self._settle_folder(self.root)

    def cut(self, torn: random.Random | None = None) -> None:
        """Put what the disk would hold in the place of the folder. All processes must have been killed."""
        rest = self.root.with_name(self.root.name + ".cut")
        shutil.rmtree(rest, ignore_errors=True)
        self._build(self._id(self.root), self.root, rest, torn)
        shutil.rmtree(self.root)
        rest.rename(self.root)
        self.settle()

    def fail_syncs(self, fail: bool = True) -> None:
        """From now on every sync in the folder fails with EIO (or no longer)."""
        flag = self.twin / "fail-sync"
        flag.touch() if fail else flag.unlink(missing_ok=True)

    def _id(self, path: Path) -> str:
        buffer = ctypes.create_string_buffer(64)
        if self._call(os.fsencode(path), buffer, len(buffer)):
            raise FileNotFoundError(path)
        return buffer.value.decode()

    def _settle_folder(self, folder: Path) -> None:
        lines = []
        for path in folder.iterdir():
            kind = "d" if path.is_dir() else "f" if path.is_file() else "o"
            lines.append(f"{kind} {self._id(path)} {path.name}\n")
            if kind == "d":
                self._settle_folder(path)
            elif kind == "f":
                shutil.copyfile(path, self.twin / "files" / self._id(path))
        (self.twin / "names" / self._id(folder)).write_text("".join(lines))

    def _build(self, identity: str, live: Path, target: Path, torn: random.Random | None) -> None:
        """Make `target` of the durable names of the folder `identity`; `live` is where it is or was."""
        target.mkdir()
        entries = self._durable(identity)
        for name, (kind, entry) in self._torn_names(live, entries, torn).items():
            here = live / name
            if kind == "d":
                self._build(entry, here, target / name, torn)
            elif kind == "f":
                (target / name).write_bytes(self._content(entry, here, torn))

    def _durable(self, identity: str) -> dict[str, tuple[str, str]]:
        path = self.twin / "names" / identity
        if not path.exists():
            return {}
        fields = (line.split(" ", 2) for line in path.read_text().splitlines())
        return {name: (kind, entry) for kind, entry, name in fields}

    def _torn_names(
        self, live: Path, entries: dict[str, tuple[str, str]], torn: random.Random | None
    ) -> dict[str, tuple[str, str]]:
        if torn is None or not live.is_dir():
            return entries
        result = dict(entries)
        for path in sorted(live.iterdir()):
            if path.name not in result and torn.random() < 0.5 and (path.is_dir() or path.is_file()):
                result[path.name] = ("d" if path.is_dir() else "f", self._id(path))
        return result

    def _content(self, identity: str, live: Path, torn: random.Random | None) -> bytes:
        kept = self.twin / "files" / identity
        durable = kept.read_bytes() if kept.exists() else b""
        if torn is None or not live.is_file() or self._id(live) != identity:
            return durable
        now = live.read_bytes()
        if now == durable:
            return durable
        size = len(torn.choice((now, durable)))
        pages = (torn.choice((now, durable))[at : at + PAGE].ljust(PAGE, b"\0") for at in range(0, size, PAGE))
        return b"".join(pages)[:size]
