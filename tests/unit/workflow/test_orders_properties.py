"""Orders in any sequence: what is said twice is as if said once, a wrong message changes nothing, and identifiers that
were given once stay."""

from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from isocenter.hl7.errors import MessageError
from isocenter.hl7.message import parsed
from isocenter.workflow.orders.holding import Order
from isocenter.workflow.orders.planning import Nothing, Planner
from isocenter.workflow.orders.requests import Match, Number
from isocenter.workflow.worklist import attributes as of
from isocenter.workflow.worklist.rows import Entry
from isocenter.workflow.worklist.states import State
from order_messages import FEED, PID, obr, orc, segment, value, written

CONTROLS = ["NW", "XO", "XX", "CA", "OC", "DC", "SC", "HD", "RL", "RP", "RO", "SN", "NA", "PA", "CH", "OK", ""]
STATUSES = ["", "", "SC", "IP", "CM", "CA", "HD", "ARRIVED"]


class Shelf(Nothing):
    """A book on a shelf: what the database would hold after each message."""

    def __init__(self) -> None:
        self.orders: dict[str, list[Entry]] = {}
        self.held: dict[str, dict[str, State]] = {}
        self.numbers: dict[tuple[str, str, str], str] = {}

    def take(self, text: str) -> bool:
        """Carry a message out; whether it was not refused."""
        try:
            orders = Planner(FEED, lambda: 0).planned(self, parsed(text.encode()))
        except MessageError:
            return False
        for order in orders:
            self._put(order)
        return True

    def _put(self, order: Order) -> None:
        if not order.items:
            return
        self.orders[order.key] = [
            Entry(0, "", order.key, item.step_id, "", of.identity_of(item.model), item.state, item.model, 0)
            for item in order.present
        ]
        steps = [entry.step_id for entry in self.orders[order.key]]
        assert len(set(steps)) == len(steps), "two steps of one number"
        self.held[order.key] = dict(order.held)
        self.numbers.update({(each.kind, each.number, each.authority): order.key for each in order.numbers})

    def find(self, numbers: Iterable[Number]) -> Match:
        for number in numbers:
            if key := self.numbers.get((number.kind, number.number, number.authority)):
                return Match(key)
        return Match("")

    def entries(self, order_key: str) -> list[Entry]:
        return list(self.orders.get(order_key, ()))

    def holds(self, order_key: str) -> dict[str, State]:
        return dict(self.held.get(order_key, {}))

    def referenced(self, *, study_uid: str = "", accession: str = "") -> list[Entry]:
        wanted = {"StudyInstanceUID": study_uid, "AccessionNumber": accession}
        given = {path: text for path, text in wanted.items() if text}
        everything = (entry for entries in self.orders.values() for entry in entries)
        return [entry for entry in everything if all(value(entry.model, path) == given[path] for path in given)]

    def state(self) -> Mapping[str, Any]:
        """All that is known."""
        steps = {key: {each.step_id: (each.state, each.model) for each in found} for key, found in self.orders.items()}
        return {"steps": steps, "held": {key: held for key, held in self.held.items() if held}}


@st.composite
def orders(draw: st.DrawFn) -> str:
    """An order, or a change of one, of a few that there are: with or without identifiers."""
    placer = draw(st.sampled_from(["P1^HIS", "P2^HIS", ""]))
    filler = draw(st.sampled_from(["F1^RIS", ""] if placer.startswith("P1") else ["F2^RIS"]))
    more = {5: draw(st.sampled_from(STATUSES))}
    fields = {
        18: draw(st.sampled_from(["", '""', "ACC1"])),
        20: draw(st.sampled_from(["", "", "S1", "S2"])),
        24: draw(st.sampled_from(["", '""', "CT", "MR"])),
        27: draw(st.sampled_from(["", "^^^20240105", "^^^20240106093000"])),
        31: draw(st.sampled_from(["", '""', "Pain"])),
    }
    exam = draw(st.sampled_from(["CTH^CT head", "CTA^CT abdomen", ""]))
    made = [PID, orc(draw(st.sampled_from(CONTROLS)), placer, filler, more), obr(exam, fields)]
    if draw(st.booleans()):
        made.append(segment("ZDS", {1: "1.2.3"}))
    return written(*made)


@st.composite
def appointments(draw: st.DrawFn) -> str:
    """An appointment, for an order or for none."""
    event = draw(st.sampled_from(["S12", "S13", "S14", "S15", "S16", "S17", "S26"]))
    sch = segment("SCH", {2: "B1", 11: "^^^20240107", 27: draw(st.sampled_from(["", "F1^RIS"]))})
    services = draw(st.lists(st.sampled_from(["CTH", "CTA"]), max_size=2))
    return written(sch, PID, *(segment("AIS", {3: each}) for each in services), kind=f"SIU^{event}")


messages = st.lists(st.one_of(orders(), orders(), appointments()), min_size=1, max_size=7)
_SETTINGS = settings(max_examples=30, deadline=None)


@_SETTINGS
@given(messages, st.lists(st.integers(1, 3), min_size=7, max_size=7))
def test_what_is_said_twice_is_said_once(told: list[str], times: list[int]) -> None:
    once, often = Shelf(), Shelf()
    for text, count in zip(told, times, strict=False):
        once.take(text)
        for _ in range(count):
            often.take(text)
        assert once.state() == often.state()


@_SETTINGS
@given(messages)
def test_a_wrong_message_changes_nothing(told: list[str]) -> None:
    """What is in the worklist's hands is never written in, even where planning ends half way."""
    shelf = Shelf()
    wrong = written(PID, orc("XO"), obr(more={24: "MR"}), orc("NW", "P3", "F3"), obr(more={27: "^^^soon"}))
    for text in told:
        before = repr(shelf.state())
        assert not shelf.take(wrong)
        assert repr(shelf.state()) == before
        if not shelf.take(text):
            assert repr(shelf.state()) == before


@_SETTINGS
@given(messages)
def test_identifiers_that_were_given_stay(told: list[str]) -> None:
    shelf = Shelf()
    named = {"StudyInstanceUID": {"1.2.3"}, "AccessionNumber": {"ACC1", "F1", "F2"}, "RequestedProcedureID": set()}
    for text in told:
        before = {(key, each.step_id): each.model for key, found in shelf.orders.items() for each in found}
        shelf.take(text)
        for key, found in shelf.orders.items():
            for entry in found:
                former = before.get((key, entry.step_id), entry.model)
                for path, others in named.items():
                    assert value(entry.model, path) in {value(former, path), *others} - {""}


words = st.text(st.sampled_from('PID1ORCNW^~&\\|"20240131.CTé山 '), max_size=12)
names = st.sampled_from(
    ["PID", "PV1", "ORC", "OBR", "IPC", "TQ1", "ZDS", "NTE", "OBX", "SCH", "RGS", "AIS", "AIG", "ZZZ"]
)
lines = st.builds(lambda name, fields: "|".join([name, *fields]), names, st.lists(words, max_size=40))
kinds = st.sampled_from(["ORM^O01", "OMG^O19", "OMI^O23", "SIU^S12", "SIU^S17"])


@settings(max_examples=50, deadline=None)
@given(kinds, st.lists(lines, max_size=8), st.booleans())
def test_nonsense_is_refused_or_made_sense_of(kind: str, segments: list[str], proper: bool) -> None:
    """Whatever stands in the segments, it is a MessageError, or entries that DICOM can hold."""
    shelf = Shelf()
    begun = [PID, "SCH|1|B1" if kind.startswith("SIU") else orc()] if proper else []
    shelf.take(written(*begun, *segments, kind=kind))
    for entries in shelf.orders.values():
        for entry in entries:
            of.check(entry.model)
            assert entry.step_id
