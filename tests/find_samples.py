"""Small archives for the tests of searching: data sets go through the header scan, the extract and the index writer."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path as File
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from databases import migrated, migrated_postgresql
from isocenter import database
from isocenter.archive.query import Model, search
from isocenter.archive.query_identifier import NO_LIMITS, Terms, charset_of, from_identifier
from isocenter.database import Database
from isocenter.declarations.indexed_attributes import configured_keys
from isocenter.declarations.query_keys import Key, Level, Path, Place, keys, resolve
from isocenter.dicom.dataset import decode
from isocenter.dicom.scan import scan
from isocenter.index.extract import arrival
from isocenter.index.keys import wanted as indexed
from isocenter.index.writer import LocalWriter
from isocenter.services.find_encoding import answer_encoder

SYNTAX = str(ExplicitVRLittleEndian)


def encoded(data_set: Dataset) -> bytes:
    """`data_set` in Explicit VR Little Endian."""
    from pydicom.filebase import DicomBytesIO

    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, data_set)
    return buffer.getvalue()


def decoded(data: bytes) -> Dataset:
    """The data set of an answer."""
    return read_dataset(io.BytesIO(data), is_implicit_VR=False, is_little_endian=True)


def instance(**values: Any) -> Dataset:
    """A data set with the UIDs that every object has; `values` by keyword."""
    made = Dataset()
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    made.SOPInstanceUID, made.SeriesInstanceUID, made.StudyInstanceUID = (generate_uid() for _ in range(3))
    made.PatientID = "P1"
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def put(data_set: Dataset, path: Path, value: Any) -> None:
    """Set the element at `path`, making the items on the way."""
    for tag in path[:-1]:
        if tag not in data_set:
            data_set.add_new(tag, "SQ", [Dataset()])
        data_set = data_set[tag].value[0]
    if path[-1] not in data_set:
        from isocenter.dicom.dictionary import vr_of

        data_set.add_new(path[-1], vr_of(path[-1]), value)


def taken(data_set: Dataset, path: Path) -> Any:
    """The value at `path`, through first items; None if there is none."""
    for tag in path[:-1]:
        items = data_set[tag].value if tag in data_set else []
        if not items:
            return None
        data_set = items[0]
    return data_set[path[-1]].value if path[-1] in data_set else None


def sample_value(key: Key, seed: int) -> str | int | None:
    """A value for `key`, another for each seed; None for what is no value of its own."""
    number = seed * 1000 + abs(hash(key.path)) % 997
    match key.vr:
        case "SQ":
            return None
        case "PN":
            return f"Family{number}^Given{number}"
        case "DA":
            return f"20{seed % 90 + 10}{number % 12 + 1:02d}{number % 28 + 1:02d}"
        case "TM":
            return f"{seed % 24:02d}{number % 60:02d}{(number + 7) % 60:02d}"
        case "DT":
            return f"20{seed % 90 + 10}0102{seed % 24:02d}3000"
        case "UI":
            return f"1.2.826.0.1.3680043.10.999.{number}"
        case "US":
            return number % 30000
        case "AS":
            return f"{seed % 90 + 10:03d}Y"
        case "IS" | "DS":
            return str(number)
        case _:
            return f"V{number}"


def complete(seed: int, more: tuple[Key, ...] = ()) -> Dataset:
    """An object with a value for every key that is stored, `more` among them, different ones for each seed."""
    made = Dataset()
    for key in (*keys(), *more):
        value = sample_value(key, seed)
        if value is not None and key.place is not Place.COMPUTED:
            put(made, key.path, value)
    made.Modality = f"M{seed}"
    return made


class Archive:
    """An index to put data sets into and to search."""

    def __init__(self, opened: Database, attributes: tuple[str, ...] = ()) -> None:
        """`attributes`: what is indexed beside the keys of every archive, as in the settings."""
        self.database = opened
        self._wanted, self.more = indexed(attributes), configured_keys(attributes)
        self._writer = LocalWriter(opened)
        self._count = 0

    def add(self, *data_sets: Dataset) -> None:
        """Index objects as they would be after C-STORE."""
        self.add_encoded(*map(encoded, data_sets))

    def add_encoded(self, *objects: bytes) -> None:
        """The same for data sets in Explicit VR Little Endian."""
        futures = []
        for data in objects:
            self._count += 1
            futures.append(
                self._writer.submit(
                    arrival(
                        scan(data, SYNTAX, self._wanted.indexed),
                        store_key=f"key{self._count}",
                        digest=f"{self._count:064x}",
                        size=len(data),
                        offset=0,
                        received_at=self._count,
                        source_aet="TEST",
                        wanted=self._wanted,
                    )
                )
            )
        for future in futures:
            future.result(30)

    def find(
        self,
        identifier: Dataset,
        model: Model = Model.STUDY_ROOT,
        *,
        access: Any = None,
        limits: Mapping[Level, int] = NO_LIMITS,
        **terms: Any,
    ) -> list[Dataset]:
        """The answers to `identifier`, encoded and decoded again."""
        asked = decode(encoded(identifier), SYNTAX)
        query = from_identifier(
            asked, Terms(access=access, model=model, **{"relational": True, "more": self.more, **terms}), limits=limits
        )
        result = search(self.database, query)
        encode = answer_encoder(
            query, result.layout, SYNTAX, retrieve_aet="ISOCENTER", declared=charset_of(asked), asked=asked
        )
        return [decoded(answer) for page in result.pages for answer in encode(page)]

    def values(self, level: str, returned: str, model: Model = Model.STUDY_ROOT, **keys_and_terms: Any) -> list[str]:
        """The values of one key, sorted, of all that match keys given by keyword; lower case ones are terms."""
        asked = {k: v for k, v in keys_and_terms.items() if k[0].isupper()}
        terms = {k: v for k, v in keys_and_terms.items() if not k[0].isupper()}
        identifier = wanted(level, [returned], **asked)
        return sorted(str(answer[returned].value) for answer in self.find(identifier, model, **terms))

    def close(self) -> None:
        """Stop the writer."""
        self._writer.close()


@contextmanager
def archive_on(dialect: str, folder: File, attributes: tuple[str, ...] = ()) -> Iterator[Archive]:
    """An empty archive for a whole module, on SQLite in `folder` or on PostgreSQL."""
    with nullcontext(migrated(folder)) if dialect == "sqlite" else migrated_postgresql() as url:
        opened = database.open(url)
        made = Archive(opened, attributes)
        try:
            yield made
        finally:
            made.close()
            opened.close()


def wanted(level: str, returned: Iterable[str] = (), **values: Any) -> Dataset:
    """An identifier: return keys by keyword, matching keys with their values."""
    made = Dataset()
    made.QueryRetrieveLevel = level
    for keyword in returned:
        setattr(made, keyword, [] if "Sequence" in keyword else None)
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def path_in(name: str) -> Path:
    """The path of a keyword, or of several joined by dots."""
    found = resolve(name)
    assert found is not None
    return found


def level_of(text: str) -> Level:
    """The level of a row of the catalogue's tables: `IMAGE (GSPS objects)` is IMAGE."""
    return Level(text.split(" ")[0])


def path_of(text: str) -> Path:
    """The path of a row: `(0040,0275)>(0040,1001)`."""
    return tuple(int(part.strip("()").replace(",", ""), 16) for part in text.split(">"))


def rows_of(lines: Sequence[dict[str, str]], ae: str) -> list[dict[str, str]]:
    """The rows of the archive's C-FIND SCP."""
    return [row for row in lines if row["ae"] == ae and row["role"] == "SCP" and row["service"].startswith("C-FIND")]
