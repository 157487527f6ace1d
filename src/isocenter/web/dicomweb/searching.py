"""QIDO-RS: Search (PS3.18 10.6), at all levels.

A short answer is gathered and sent whole; a long one is streamed page by page, while no connection is held.
"""

from dataclasses import replace
from itertools import chain

from isocenter.archive import query as archive_query
from isocenter.archive.query import Query
from isocenter.declarations.query_keys import Key, Level, Path, dotted, key, keys_for, resolve
from isocenter.web.call import Call
from isocenter.web.coding import compressed
from isocenter.web.dicomweb import search_rows
from isocenter.web.dicomweb.search_forms import Form, body, form_of
from isocenter.web.dicomweb.search_parameters import Search, parse
from isocenter.web.problem import Problem
from isocenter.web.reply import Pieces, Reply

_GATHERED = 2000
"""Rows that are gathered before the answer is streamed."""
_PATIENT_ID, _STUDY_UID = (0x00100020,), (0x0020000D,)
_COUNTED = 10_000
"""Matches are counted exactly up to here (X-Total-Count)."""

_COMMON = "SpecificCharacterSet InstanceAvailability RetrieveURL TimezoneOffsetFromUTC"
_PATIENT = (
    "PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex NumberOfPatientRelatedStudies "
    "NumberOfPatientRelatedSeries NumberOfPatientRelatedInstances SpecificCharacterSet"
)
_STUDY = (
    "StudyDate StudyTime AccessionNumber ModalitiesInStudy ReferringPhysicianName StudyDescription PhysiciansOfRecord "
    "PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID StudyID NumberOfStudyRelatedSeries "
    "NumberOfStudyRelatedInstances"
)
_SERIES = (
    "Modality SeriesDescription SeriesInstanceUID SeriesNumber NumberOfSeriesRelatedInstances BodyPartExamined "
    "PerformedProcedureStepStartDate PerformedProcedureStepStartTime RequestAttributesSequence StudyInstanceUID"
)
_INSTANCE = (
    "SOPClassUID SOPInstanceUID InstanceNumber Rows Columns BitsAllocated NumberOfFrames AvailableTransferSyntaxUID "
    "StudyInstanceUID SeriesInstanceUID"
)
_UIDS = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID"}


def _paths(*keywords: str) -> tuple[Path, ...]:
    found = [resolve(keyword) for keyword in " ".join(keywords).split()]
    return tuple(path for path in found if path is not None)


_RETURNED: dict[tuple[Level, bool], tuple[Path, ...]] = {
    (Level.PATIENT, False): _paths(_PATIENT),
    (Level.STUDY, False): _paths(_COMMON, _STUDY),
    (Level.SERIES, False): _paths(_COMMON, _STUDY, _SERIES),
    (Level.SERIES, True): _paths(_COMMON, _SERIES),
    (Level.IMAGE, False): _paths(_COMMON, _STUDY, _SERIES, _INSTANCE),
    (Level.IMAGE, True): _paths(_COMMON, _SERIES, _INSTANCE),
}
"""What is returned without being asked for, by level and by whether the resource names its study (PS3.18 10.6.3.3)."""


async def patients(call: Call) -> Reply:
    """GET /patients: ours, for clients that list patients."""
    return await _search(call, Level.PATIENT)


async def studies(call: Call) -> Reply:
    """GET /studies."""
    return await _search(call, Level.STUDY)


async def series(call: Call) -> Reply:
    """GET /series and /studies/{study}/series."""
    return await _search(call, Level.SERIES)


async def instances(call: Call) -> Reply:
    """GET /instances, /studies/{study}/instances and /studies/{study}/series/{series}/instances."""
    return await _search(call, Level.IMAGE)


async def _search(call: Call, level: Level) -> Reply:
    form = form_of(call)
    search = parse(call.query)
    _bounded(call, search)
    if level in (Level.SERIES, Level.IMAGE):
        call.context.packs.warm()  # viewers ask for metadata next
    query, warnings = _query(call, level, search)
    return await call.context.lanes.query.run(_run, call, level, query, form, warnings)


def _bounded(call: Call, search: Search) -> None:
    """Raises Problem 413 where the installation wants searches to say more (I-QIDO-10, I-QIDO-ST-05)."""
    policy = call.context.settings.search
    asked = {path for path, value in search.keys if value.strip("*")}
    if policy == "patient" and not asked & {_PATIENT_ID, _STUDY_UID} and "study" not in call.path:
        raise Problem(413, "a search must name a PatientID here")
    if policy == "filtered" and not asked and "study" not in call.path:
        raise Problem(413, "a search must name a matching key here")


def _query(call: Call, level: Level, search: Search) -> tuple[Query, list[str]]:
    below_study, more = "study" in call.path, call.context.more_keys
    named = tuple((path, call.path[name]) for name, uid in _UIDS.items() if name in call.path for path in _paths(uid))
    returns = dict.fromkeys(_RETURNED[level, below_study])
    if search.include_all:
        returns |= dict.fromkeys(path for path, one in keys_for(level, more).items() if len(path) == 1 and one.returned)
    returns |= dict.fromkeys(path for path, _ in search.keys)
    returns |= dict.fromkeys(search.include)
    cap = call.context.settings.limit
    limit = search.limit
    if cap and (limit is None or limit > cap):
        limit = cap
    query = Query(
        level=level,
        access=call.access,
        keys=(*named, *search.keys),
        returns=tuple(returns),
        fuzzy=search.fuzzy,
        empty=search.empty,
        ordered=bool(search.offset) or limit is not None or below_study,
        offset=search.offset,
        limit=limit,
        more=more,
    )
    return query, _warnings(level, search, more)


def _warnings(level: Level, search: Search, more: tuple[Key, ...]) -> list[str]:
    ignored = [dotted(path) for path, value in search.keys if value and not key(level, path, more)]
    found = [f"matching is not supported for {', '.join(ignored)}"] if ignored else []
    if search.unknown:
        found.append("an includefield that is no attribute was passed over")
    return found


def _run(call: Call, level: Level, query: Query, form: Form, warnings: list[str]) -> Reply:
    """Fetch the first rows, or all if they are few. Runs in a thread."""
    database, settings = call.context.database, call.context.settings
    result = archive_query.search(database, replace(query, view=call.view))
    write = search_rows.writer(result.layout, level, call.root, call.context.ae().title)
    gathered: list[bytes] = []
    whole = True
    if query.limit != 0:
        for page in result.pages:
            gathered += write(page)
            if len(gathered) > _GATHERED:
                whole = False
                break
    total = query.offset + len(gathered)
    if not whole or query.limit is not None or (query.offset and not gathered):
        total = call.context.counts.count(database, query, _COUNTED)
    headers = {"Content-Type": form.content_type, "Cache-Control": "no-store"}
    headers["X-Total-Count"] = str(total) if total <= _COUNTED else f"{_COUNTED}+"
    if settings.limit and query.limit == settings.limit and total > query.offset + settings.limit:
        warnings = [*warnings, "there are more matches than this server returns at once; use offset"]
    if warnings:
        headers["Warning"] = ", ".join(f'299 isocenter "{text}"' for text in warnings)
    if not gathered and settings.empty_status == 204:
        del headers["Content-Type"]
        return Reply(204, headers)
    if whole:
        return compressed(call, Reply(200, headers, b"".join(body(gathered, form))))
    rest = chain(gathered, (row for page in result.pages for row in write(page)))
    return Reply(200, headers, source=Pieces(body(rest, form), None), lane=call.context.lanes.query)
