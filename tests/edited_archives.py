"""What each way out of an archive says of its objects: C-FIND, C-MOVE, WADO-RS and metadata must agree after edits."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from sqlalchemy import select

import archives
from isocenter.archive.edits.making import Edits, Who
from isocenter.archive.packs.series import Packs
from isocenter.archive.query import Query, find
from isocenter.archive.retrieval.instances import Located, Selection, View, locate, series_of
from isocenter.database import Database
from isocenter.declarations.query_keys import Level
from isocenter.declarations.rejections import IN_FORCE
from isocenter.dicom.dataset import DataSet, decode, string_of
from isocenter.dicom.dictionary import tag_of, vr_of
from isocenter.dicom.part10 import read_header
from isocenter.index import tables
from isocenter.store.api import Store
from isocenter.web.dicomweb.objects import pieces

WHO = Who("tester", "wrong patient chosen")
ROOT = "http://127.0.0.1/dicom-web"
PATIENT_ID, NAME, BIRTH_DATE, STUDY, SERIES, SOP = (
    0x00100020, 0x00100010, 0x00100030, 0x0020000D, 0x0020000E, 0x00080018,
)  # fmt: skip
ORIGINAL, MODIFIED = 0x04000561, 0x04000550
TOLD = (0x00080020, 0x00080050, 0x0008103E, 0x00081030, NAME, PATIENT_ID, 0x00100021, BIRTH_DATE, STUDY, SERIES, SOP)
"""What is compared between the ways."""


def editor(archive: archives.Running, **options: Any) -> Edits:
    """Edits of a running archive."""
    return Edits(archive.database, archive.store, archive.ingest.writer, **options)


def attributes(**values: str | None) -> dict[str, Any]:
    """Changes by keyword: a text, '' for an empty element, None to take it out."""
    found: dict[str, Any] = {}
    for keyword, value in values.items():
        tag = tag_of(keyword)
        assert tag is not None
        vr = vr_of(tag)
        if value is None:
            found[f"{tag:08X}"] = None
        else:
            listed: list[Any] = [{"Alphabetic": value}] if vr == "PN" else [value]
            found[f"{tag:08X}"] = {"vr": vr, "Value": listed} if value else {"vr": vr}
    return found


class Told(NamedTuple):
    """One instance, as a way out tells of it: text by tag."""

    values: tuple[tuple[int, str], ...]

    def __getitem__(self, tag: Any) -> Any:
        return dict(self.values).get(tag, "")


def _told(values: dict[int, str]) -> Told:
    return Told(tuple((tag, values.get(tag, "")) for tag in TOLD))


def found(database: Database, view: View = IN_FORCE) -> list[Told]:
    """By C-FIND at image level, with the keys of the levels above."""
    query = Query(level=Level.IMAGE, access=None, returns=tuple((tag,) for tag in TOLD), view=view)
    rows = [row for page in find(database, query) for row in page]
    return sorted(_told({tag: str(row.value(tag) or "") for tag in TOLD}) for row in rows)


def located(database: Database, view: View = IN_FORCE) -> list[Located]:
    """All that may be retrieved."""
    with database.reading() as connection:
        studies = tuple(connection.execute(select(tables.study.c.study_uid)).scalars())
    named = Selection(study_uids=studies, view=view)
    return [one for page in locate(database, named) for one in page] if studies else []


def read(database: Database, store: Store, view: View = IN_FORCE) -> list[DataSet]:
    """By WADO-RS: the data sets."""
    return [data_set for one in located(database, view) if (data_set := wado(store, one))]


def wado(store: Store, one: Located) -> DataSet:
    """One object as WADO-RS sends it."""
    file = b"".join(pieces(store, one, one.syntax))
    return decode(file[read_header(file).offset :], one.syntax)


def retrieved(database: Database, store: Store, view: View = IN_FORCE) -> list[Told]:
    """By WADO-RS."""
    return sorted(_told(texts(each)) for each in read(database, store, view))


def texts(data_set: DataSet) -> dict[int, str]:
    """The texts of a data set in UTF-8 or ASCII."""
    return {
        tag: element.value.decode("utf-8").strip(" \0")
        for tag, element in data_set.items()
        if tag in TOLD and isinstance(element.value, bytes)
    }


def moved(archive: archives.Running, studies: Sequence[str], destination: archives.Destination) -> list[Told]:
    """By C-MOVE of these studies to a destination that the archive knows."""
    destination.received.clear()
    for study in studies:
        archive.move(destination.title, archives.keys("STUDY", StudyInstanceUID=study))
    return sorted(_told(texts(decode(one.data, one.syntax))) for one in destination.received)


def metadata(database: Database, store: Store) -> list[Told]:
    """By WADO-RS metadata, series after series."""
    return sorted(_told(each) for each in _metadata(database, store))


def _metadata(database: Database, store: Store) -> Iterator[dict[int, str]]:
    with database.reading() as connection:
        studies = tuple(connection.execute(select(tables.study.c.study_uid)).scalars())
    with closing(Packs(database, store, workers=0)) as packs:
        for one in series_of(database, Selection(study_uids=studies)):
            if one.instances:
                with closing(packs.series(one, ROOT)) as ready:
                    for model in json.loads(b"[%b]" % b"".join(ready.pieces())):
                        yield {int(tag, 16): _text(attribute) for tag, attribute in model.items()}


def _text(attribute: dict[str, Any]) -> str:
    values = attribute.get("Value", [])
    return "\\".join(value.get("Alphabetic", "") if isinstance(value, dict) else str(value) for value in values)


def agreed(archive: archives.Running, destination: archives.Destination | None = None) -> list[Told]:
    """What all the ways out say of every object; they must say the same."""
    told = found(archive.database)
    assert retrieved(archive.database, archive.store) == told
    assert metadata(archive.database, archive.store) == told
    if destination is not None:
        studies = sorted({one[STUDY] for one in told})
        assert moved(archive, studies, destination) == told
    return told


def account(data_set: DataSet) -> list[DataSet]:
    """The former values that each item of Original Attributes Sequence tells."""
    items = data_set[ORIGINAL].value if ORIGINAL in data_set else ()
    assert isinstance(items, tuple)
    return [item[MODIFIED].value[0] for item in items]  # type: ignore[misc]


def value(data_set: DataSet, tag: int) -> str:
    """A text."""
    return string_of(data_set, tag)
