"""Modality Worklist SCU: asking another system which procedure steps are scheduled (M-MWL-10 to 13, X-MOD-40 to 47).

Answers are taken as they come from the field: what is not asked for is passed over, what is missing is empty, dates
and times may be in their retired forms, values may be too long, and an SCP may have ignored a key.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple, cast

import msgspec

from isocenter.declarations.query_keys import Path
from isocenter.declarations.statuses import PENDING_UNSUPPORTED_KEYS
from isocenter.declarations.worklist import requested
from isocenter.dicom import dataset, json_model
from isocenter.dicom.dataset import DataSet, Element
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.uids import EXPLICIT_LE, MODALITY_WORKLIST_FIND
from isocenter.dimse import AssociationAborted, AssociationReleased, ClientAssociation, PeerTimeout, Response, commands
from isocenter.index.matching_items import AS_USUAL, Asked, tests_of
from isocenter.index.matching_values import FOLDED, accepts, values_at
from isocenter.workflow.worklist.attributes import Model

_CHARACTER_SET: Final = 0x00080005
_UTF_8: Final = "ISO_IR 192"
_LONGEST: Final = {"AE": 16, "AS": 4, "CS": 16, "DA": 8, "DS": 16, "IS": 12, "LO": 64, "SH": 16, "TM": 14, "UI": 64}
_RETIRED: Final = {"DA": ".", "TM": ":"}


class Answers(NamedTuple):
    """What a worklist answered."""

    items: list[Model]
    status: int
    """The final status; FE00 where it was cancelled at the limit."""
    comment: str = ""
    unsupported: bool = False
    """An optional key was not supported (FF01)."""
    dropped: int = 0
    """Answers that contradict a key, which the SCP must have ignored (X-MOD-44)."""
    limited: bool = False
    """It was cancelled at the limit, and not by the SCP of its own accord."""
    lost: bool = False
    """The association ended, or the SCP fell silent, before the last response: `comment` says how (S-MWL-17)."""

    @property
    def complete(self) -> bool:
        """The query ended well, or at our limit (X-MOD-45)."""
        return not self.lost and (self.status == commands.SUCCESS or self.limited)

    @property
    def failure(self) -> str:
        """How it ended otherwise."""
        return self.comment if self.lost else f"status {self.status:04X} {self.comment}".rstrip()


def identifier(keys: Iterable[tuple[Path, str]], returned: Sequence[Path] = ()) -> DataSet:
    """The identifier: matching keys, and empty ones for what is to be returned (by default `requested`)."""
    named = tuple(keys)
    found: DataSet = {}
    if not all(text.isascii() for _, text in named):
        found[_CHARACTER_SET] = dataset.text("CS", _UTF_8)
    for path in returned or requested():
        _put(found, path, "")
    for path, text in named:
        _put(found, path, text)
    return found


def _put(holder: DataSet, path: Path, text: str) -> None:
    tag, *rest = path
    vr = vr_of(tag)
    if rest:
        there = dataset.items_of(holder, tag)
        item: DataSet = there[0] if there else {}
        _put(item, tuple(rest), text)
        holder[tag] = Element("SQ", (item,))
    elif vr == "SQ":
        holder.setdefault(tag, Element("SQ", ()))
    else:
        holder[tag] = dataset.text(vr, text, _UTF_8)


def ask(association: ClientAssociation, asked: DataSet, *, limit: int = 0, character_set: str = "") -> Answers:
    """Query over an association with a context for it. With a limit the rest is cancelled, and what came till then is
    the result (X-MOD-42); so is what came before the association was lost, if anything did. `character_set`: assumed of
    answers that name none."""
    context = association.context_for(MODALITY_WORKLIST_FIND)
    syntax = context.transfer_syntax
    tests = _tests(asked)
    items: list[Model] = []
    unsupported, dropped = False, 0
    request = dataset.encode(asked, syntax)
    found = cast("Generator[Response, None, None]", association.find(MODALITY_WORKLIST_FIND, request))
    try:
        with closing(found) as responses:
            for response in responses:
                if not commands.is_pending(response.status):
                    return Answers(items, response.status, response.comment, unsupported, dropped)
                unsupported = unsupported or response.status == PENDING_UNSUPPORTED_KEYS
                item = model_of(dataset.decode(response.data or b"", syntax), character_set)
                if any(_contradicts(item, *test) for test in tests):
                    dropped += 1
                    continue
                items.append(item)
                if limit and len(items) >= limit:
                    break
    except (AssociationAborted, AssociationReleased, PeerTimeout) as lost:
        if not items:
            raise
        return Answers(items, commands.SUCCESS, lost.comment, unsupported, dropped, lost=True)
    return Answers(items, commands.CANCELLED, "", unsupported, dropped, limited=True)


def _tests(asked: DataSet) -> list[tuple[Path, Callable[[str], bool]]]:
    """What each matching key asks for."""
    keys = (Asked(path, vr_of(path[-1]), text) for path, text in _named(asked))
    found = ((key, tests_of(key, AS_USUAL)) for key in keys)
    return [(key.path, accepts(tests, FOLDED)) for key, tests in found if tests is not None]


def _named(asked: DataSet, prefix: Path = ()) -> Iterator[tuple[Path, str]]:
    for tag, element in asked.items():
        path = (*prefix, tag)
        if isinstance(element.value, tuple):
            for item in element.value:
                yield from _named(item, path)
        elif element.value and path != (_CHARACTER_SET,):
            yield path, element.value.decode("utf-8").strip(" \0")


def _contradicts(item: Model, path: Path, accept: Callable[[str], bool]) -> bool:
    """An answer has values where a key lies, and none that matches: an SCP may also leave a key empty."""
    values = [value for value in values_at(item, path) if value]
    return bool(values) and not any(map(accept, values))


def model_of(data: DataSet, character_set: str = "") -> Model:
    """An answer as DICOM JSON, with its values in the forms of today. Raises MalformedDataSet."""
    encoded = dataset.encode(data, EXPLICIT_LE)
    written = json_model.write(encoded, EXPLICIT_LE, bulk_uri=None, default_charset=character_set)
    return _mended(msgspec.json.decode(written))


def _mended(item: Model) -> Model:
    return {tag: _mended_attribute(attribute) for tag, attribute in item.items() if tag != f"{_CHARACTER_SET:08X}"}


def _mended_attribute(attribute: dict[str, Any]) -> dict[str, Any]:
    """Dates and times without their retired separators, and values no longer than they may be (X-MOD-46, X-MOD-47)."""
    vr, values = attribute.get("vr", "UN"), attribute.get("Value")
    if not values:
        return attribute
    if vr == "SQ":
        return {"vr": vr, "Value": [_mended(item) for item in values]}
    return {**attribute, "Value": [_mended_value(vr, value) for value in values]}


def _mended_value(vr: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    bare = value.replace(_RETIRED[vr], "") if vr in _RETIRED else value
    return bare[: _LONGEST.get(vr)]
