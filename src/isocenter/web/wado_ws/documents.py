"""Finds the documents that a request names, and says of each that isn't there why."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import select

from isocenter.archive.retrieval.instances import Access, Located, Selection, View, locate, series_of
from isocenter.database import Database
from isocenter.errors import IsocenterError
from isocenter.index.tables import instance
from isocenter.store.api import Store
from isocenter.web.wado_ws.request import Request, Wanted
from isocenter.web.wado_ws.vocabulary import Code, Kind
from isocenter.web.wado_ws.writing import Trouble


class Document(NamedTuple):
    """A document that is there."""

    wanted: Wanted
    located: Located


class Found(NamedTuple):
    """What is there of a request, in its order, and what is to be said of the rest."""

    documents: list[Document]
    troubles: list[Trouble]


class Seeker:
    """Looks for documents as one asker sees them. `laid`: a document as it leaves for the asker, None for one that
    doesn't; `repository`: the only one that is ours, '' for any."""

    def __init__(
        self,
        database: Database,
        store: Store,
        access: Access,
        view: View,
        laid: Callable[[Located], Located | None],
        repository: str = "",
    ) -> None:
        self._database, self._store = database, store
        self._access, self._view = access, view
        self._laid, self._repository = laid, repository

    def find(self, request: Request) -> Found:
        """All of them."""
        found: list[Document] = []
        troubles: list[Trouble] = []
        ihe = request.operation.kind is Kind.DOCUMENTS
        for group in _grouped(request.documents):
            there = self._located(group)
            missing = Code.NO_DOCUMENT_IHE if ihe else Code.NO_DOCUMENT
            if len(there) < len({each.document for each in group}):
                missing = self._missing(group[0].study, group[0].series) or missing
            for wanted in group:
                trouble = self._trouble(wanted, there.get(wanted.document), missing)
                if trouble is None:
                    found.append(Document(wanted, there[wanted.document]))
                else:
                    troubles.append(trouble)
        return Found(found, troubles)

    def _located(self, group: Sequence[Wanted]) -> dict[str, Located]:
        names = tuple(each.document for each in group)
        first = group[0]
        selection = Selection((), (first.study,), (first.series,), names, access=self._access, view=self._view)
        found = (each for page in locate(self._database, selection) for each in page)
        return {one.sop_uid: one for each in found if (one := self._laid(each)) is not None}

    def _missing(self, study: str, series: str) -> Code | None:
        """Why nothing can be there: the study or the series is unknown; None where it is the document."""
        known = {one.series_uid for one in series_of(self._database, Selection((), (study,), access=self._access))}
        if not known:
            return Code.NO_STUDY
        return None if series in known else Code.NO_SERIES

    def _trouble(self, wanted: Wanted, located: Located | None, missing: Code) -> Trouble | None:
        if self._repository and wanted.repository != self._repository:
            return Trouble(wanted.document, Code.NO_REPOSITORY, "the repository is not this one")
        if wanted.parameters.get("Anonymize", "").lower() in ("yes", "true", "1"):
            return Trouble(wanted.document, Code.NO_ANONYMIZATION, "documents are not anonymized")
        if located is None:
            return self._unknown(wanted, missing)
        if not _is_whole(self._store, located):
            return Trouble(wanted.document, Code.GONE, "the document is no longer available")
        return None

    def _unknown(self, wanted: Wanted, missing: Code) -> Trouble:
        if missing is Code.NO_DOCUMENT_IHE or not self._elsewhere(wanted.document):
            return Trouble(wanted.document, missing, _WORDS[missing])
        return Trouble(wanted.document, Code.INCONSISTENT, "the document is of another study or series")

    def _elsewhere(self, document: str) -> bool:
        if self._access is not None:  # whose study it is in is nobody's business who may not see it
            return False
        named = select(instance.c.id).where(instance.c.sop_uid == document).limit(1)
        with self._database.reading() as connection:
            return connection.execute(named).first() is not None


_WORDS = {
    Code.NO_STUDY: "the study is not known",
    Code.NO_SERIES: "the series is not known",
    Code.NO_DOCUMENT: "the document is not known",
    Code.NO_DOCUMENT_IHE: "the document is not known",
}


def _is_whole(store: Store, located: Located) -> bool:
    """The object is there, in the length that its row says."""
    try:
        with store.open(located.store_key) as opened:
            return opened.size >= located.offset + located.size
    except (IsocenterError, OSError):  # an object that can't be opened is not there for who asks
        return False


def _grouped(documents: Sequence[Wanted]) -> Iterator[list[Wanted]]:
    """Neighbours of the same series together."""
    group: list[Wanted] = []
    for each in documents:
        if group and (each.study, each.series) != (group[0].study, group[0].series):
            yield group
            group = []
        group.append(each)
    if group:
        yield group
