"""Backup and restore: a consistent copy of index and store, made while the server works.

The index is copied first, in one snapshot. Objects are immutable and nothing is removed sooner than a day after its
row, so every object that the copied index names is still there when the store is copied after it; what arrived in
between is in the copy too and is adopted at the restore.

    FOLDER/backup.json      what it is; written last, so that a folder without it is no backup
    FOLDER/index.db         or index.dump (pg_dump); neither: the restore makes the index anew
    FOLDER/store/           objects, exceptions, journal, archive.json, what is held; not the packs, which are derived
    FOLDER/settings/        isocenter.toml, the digest of the admin token and the key of de-identification, if the data
                            folder holds them
"""

import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.engine import URL

from isocenter import __version__, database, telemetry
from isocenter.config import Settings
from isocenter.database import Database
from isocenter.errors import ConfigurationError, Reason, Refused
from isocenter.index.tables import instance, instance_version, non_patient_instance
from isocenter.server import deidentifying, places, startup, tokens
from isocenter.store.api import Store
from isocenter.store.filesystem import FilesystemStore
from isocenter.store.recovery import has_mark
from isocenter.store.verify import verify

log = telemetry.logger("server.backup")

MANIFEST = "backup.json"
_FORMAT = 1
_SQLITE_COPY, _POSTGRESQL_COPY = "index.db", "index.dump"
_SETTINGS = ("isocenter.toml", tokens.FILE_NAME, deidentifying.FILE_NAME)
_PAGE = 1000

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself."""

    archive_id: str
    made_at: int
    """Microseconds UTC, when the index was copied."""
    index: str
    """`index.db`, `index.dump`, or '' where the index is to be made anew."""
    objects: int
    bytes: int
    version: str = __version__
    format: int = _FORMAT


@dataclass(frozen=True)
class Restored:
    """What a restore brought back."""

    objects: int
    adopted: int
    """Objects that the copied index did not know."""
    unsound: tuple[str, ...]
    """Keys of objects that are not what was received."""
    missing: int
    """Rows of the index whose object is not there."""


def backup(settings: Settings, folder: Path, *, copy: bool = False) -> Manifest:
    """Make a backup in the new folder `folder`: by hard links where that is possible and unless `copy`, else copies."""
    if not (settings.store_root / "archive.json").exists():
        raise ConfigurationError(f"data: there is no archive in {settings.data}")
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError as error:
        raise ConfigurationError(f"{folder} exists; a backup wants a new folder") from error
    made_at = time.time_ns() // 1000
    index = _copy_index(settings, folder)
    store = places.open_store(settings)
    objects, size = _copy_store(store, folder / "store", link=not copy)
    _copy_settings(settings.data, folder / "settings")
    manifest = Manifest(store.archive_id, made_at, index, objects, size)
    os.sync()  # everything above, before the file that says that it is whole
    _write_durably(folder / MANIFEST, json.dumps(asdict(manifest), indent=2).encode())
    log.info("backup.made", objects=objects, bytes=size)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """What kind of backup `folder` holds. Raises ConfigurationError if it holds none that we can read."""
    try:
        facts = json.loads((folder / MANIFEST).read_text())
        manifest = Manifest(**facts)
    except FileNotFoundError as error:
        raise ConfigurationError(f"{folder} holds no finished backup") from error
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{folder / MANIFEST} can't be read") from error
    if manifest.format != _FORMAT:
        raise ConfigurationError(f"the backup has format {manifest.format}; this program knows {_FORMAT}")
    return manifest


def restore(settings: Settings, folder: Path, progress: Progress = lambda _done, _all: None) -> Restored:
    """Bring `folder` back into the data folder of `settings`, which must hold no archive, adopt what came after the
    index was copied, and verify every object."""
    manifest = read_manifest(folder)
    if settings.store_root.exists() or (settings.sqlite and places.sqlite_file(settings).exists()):
        raise ConfigurationError(f"data: {settings.data} holds an archive already")
    places.make_data_folder(settings)
    draft = settings.data / "store.restoring"
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(folder / "store", draft)
    _restore_index(settings, folder, manifest)
    _copy_settings(folder / "settings", settings.data)
    os.sync()
    draft.rename(settings.store_root)
    return _checked(settings, progress)


def _checked(settings: Settings, progress: Progress) -> Restored:
    store = places.open_store(settings)
    with store.exclusive():
        adopted = int(startup.prepare(settings, store)["adopted"])
        startup.note_stop(settings, store)
    unsound = []
    objects = 0
    for finding in verify(store):
        objects += 1
        if finding.verdict not in ("sound", "no-digest"):
            unsound.append(finding.key)
        progress(objects, 0)
    index = database.open(settings.database_url, pool_size=1)
    with closing(index):
        missing = sum(1 for _ in missing_objects(index, store))
    return Restored(objects, adopted, tuple(unsound), missing)


def missing_objects(index: Database, store: Store) -> Iterator[str]:
    """Store keys that the index names and the store does not have."""
    for table in (instance, instance_version, non_patient_instance):
        after = 0
        while True:
            query = select(table.c.id, table.c.store_key).where(table.c.id > after).order_by(table.c.id).limit(_PAGE)
            with index.reading() as connection:
                rows = connection.execute(query).all()
            if not rows:
                break
            after = rows[-1].id
            yield from (row.store_key for row in rows if not store.exists(row.store_key))


# ---- the index


def _copy_index(settings: Settings, folder: Path) -> str:
    database.check_schema(settings.database_url)
    index = database.open(settings.database_url, pool_size=1)
    with closing(index):
        if index.dialect == "sqlite":
            with closing(index.sqlite_connection()) as source, closing(sqlite3.connect(folder / _SQLITE_COPY)) as copy:
                source.backup(copy)  # all pages in one step: one snapshot, which writers do not disturb
            return _SQLITE_COPY
        return _dumped(index.url, folder)


def _dumped(url: URL, folder: Path) -> str:
    program = shutil.which("pg_dump")
    if program is None:
        log.warning("backup.without-index", reason="pg_dump is not installed")
        return ""
    _run([program, "--format=custom", f"--file={folder / _POSTGRESQL_COPY}", f"--dbname={_address(url)}"], url)
    return _POSTGRESQL_COPY


def _restore_index(settings: Settings, folder: Path, manifest: Manifest) -> None:
    if manifest.index == _SQLITE_COPY and settings.sqlite:
        place = places.sqlite_file(settings)
        shutil.copyfile(folder / _SQLITE_COPY, place)
        place.chmod(0o600)
    elif manifest.index == _POSTGRESQL_COPY and not settings.sqlite:
        program = shutil.which("pg_restore")
        if program is None:
            raise ConfigurationError("pg_restore is not installed")
        index = database.open(settings.database_url, pool_size=1)
        index.close()
        _run(
            [program, "--no-owner", "--exit-on-error", f"--dbname={_address(index.url)}", str(folder / manifest.index)],
            index.url,
        )
    # anything else: the start finds an empty index beside a full store and makes it anew


def _address(url: URL) -> str:
    """For PostgreSQL's own programs, without the password: command lines can be read by others."""
    return url.set(drivername="postgresql", password=None).render_as_string()


def _run(command: list[str], url: URL) -> None:
    environment = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603  our own words
    if done.returncode:
        raise Refused(Reason.PROCESSING_FAILURE, f"{Path(command[0]).name} ended with {done.returncode}")


# ---- the store


def _copy_store(store: FilesystemStore, to: Path, *, link: bool) -> tuple[int, int]:
    """Copy the complete objects, the exceptions, the journal; how many objects, and their bytes."""
    to.mkdir()
    take = _Taking(link)
    take.file(store.root / "archive.json", to / "archive.json")
    _copy_held(store.root, to, take)
    objects = size = 0
    for path in _files(store.root / "objects"):
        if store.exists(path.name):
            size += take.file(path, to / path.relative_to(store.root))
            objects += 1
    for room in ("exceptions", "journal"):
        for path in _files(store.root / room):
            take.file(path, to / path.relative_to(store.root))
    return objects, size


def _copy_held(root: Path, to: Path, take: "_Taking") -> None:
    """Copy what waits for reconciliation. Before the archive's objects: what goes there meanwhile is copied there."""
    held = root / places.HELD
    if not (held / "archive.json").exists():
        return
    take.file(held / "archive.json", to / places.HELD / "archive.json")
    for path in _files(held / "objects"):
        try:
            complete = has_mark(str(path))
        except FileNotFoundError:
            continue  # it has gone to the archive
        if complete:
            take.file(path, to / path.relative_to(root))


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        for name in names:
            yield Path(place, name)


class _Taking:
    """Links files, or copies them from the first that can't be linked on."""

    def __init__(self, link: bool) -> None:
        self._link = link

    def file(self, source: Path, to: Path) -> int:
        """Bring one file over; its size. One that is gone meanwhile was deleted by an explicit row."""
        try:
            to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._link:
                try:
                    os.link(source, to)
                    return to.stat().st_size
                except FileNotFoundError:
                    raise
                except OSError:
                    self._link = False
            shutil.copyfile(source, to)
            return to.stat().st_size
        except FileNotFoundError:
            to.unlink(missing_ok=True)
            return 0


def _copy_settings(source: Path, to: Path) -> None:
    to.mkdir(mode=0o700, exist_ok=True)
    for name in _SETTINGS:
        if (source / name).is_file() and not (to / name).exists():
            shutil.copyfile(source / name, to / name)
            (to / name).chmod(0o600)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
