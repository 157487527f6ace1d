"""The two kinds of figures: application data flow (PS3.2 5, C-DIA-01 to -03) and sequences (C-DIA-05)."""

from collections.abc import Sequence
from typing import NamedTuple

from isocenter.conformance.drawing import Box, Circle, Drawing, Line, Stroke, Text, centred, wrapped

WIDTH = 480.0
"""What fits between the margins of a printed page."""


class Flow(NamedTuple):
    """One line of a data flow diagram: a local activity, the AE, and the remote activity it has to do with."""

    local: str
    ae: str
    remote: str
    initiates: bool
    """The AE opens the association; else it expects a request."""


_ROW = 54.0
_LOCAL, _AE, _EDGE, _REMOTE = 65.0, 225.0, 325.0, 415.0
_RX, _RY, _HALF_BOX = 62.0, 21.0, 52.0


def data_flow(flows: Sequence[Flow]) -> Drawing:
    """Local activities left, AEs as boxes, remote activities right of the DICOM standard interface. An arrow to the
    right: the AE initiates an association; to the left: it accepts one."""
    strokes: list[Stroke] = []
    bottom = 34.0 + _ROW * len(flows)
    by_ae: dict[str, list[int]] = {}
    for n, flow in enumerate(flows):
        by_ae.setdefault(flow.ae, []).append(n)
    for ae, rows in by_ae.items():
        top, low = _middle(rows[0]) - 22, _middle(rows[-1]) + 22
        strokes.append(Box(_AE - _HALF_BOX, top, 2 * _HALF_BOX, low - top, filled=True))
        strokes += centred(_AE, (top + low) / 2, ae, 17, bold=True)
    for n, flow in enumerate(flows):
        strokes += _row(_middle(n), flow)
    strokes.append(Line(_EDGE, 22, _EDGE, bottom, dash="dashed"))
    strokes.append(Text(_EDGE, 14, "DICOM Standard Interface", 8))
    return Drawing(WIDTH, bottom + 6, tuple(strokes))


def _middle(row: int) -> float:
    return 34.0 + _ROW * (row + 0.5)


def _row(y: float, flow: Flow) -> list[Stroke]:
    strokes: list[Stroke] = []
    if flow.local:
        strokes.append(Circle(_LOCAL, y, _RX, _RY))
        strokes += centred(_LOCAL, y, flow.local, 20, size=8)
        strokes.append(Line(_LOCAL + _RX, y, _AE - _HALF_BOX, y, dash="dashed"))
    strokes.append(Circle(_REMOTE, y, _RX, _RY))
    strokes += centred(_REMOTE, y, flow.remote, 20, size=8)
    ends = (_AE + _HALF_BOX, _REMOTE - _RX)
    start, end = ends if flow.initiates else ends[::-1]
    strokes.append(Line(start, y, end, y, arrow=True))
    return strokes


class Message(NamedTuple):
    """One arrow of a sequence diagram; with the same sender and receiver, something done by itself."""

    sender: str
    receiver: str
    text: str


_HEAD, _STEP = 34.0, 30.0


def sequence(messages: Sequence[Message]) -> Drawing:
    """A UML sequence diagram: participants as vertical bars in the order they first appear, time downwards."""
    names = list(dict.fromkeys(name for m in messages for name in (m.sender, m.receiver)))
    gap = WIDTH / len(names)
    at = {name: gap * (n + 0.5) for n, name in enumerate(names)}
    bottom = _HEAD + _STEP * (len(messages) + 0.6)
    strokes: list[Stroke] = []
    for name, x in at.items():
        half = min(gap / 2 - 6, 75)
        strokes.append(Box(x - half, 2, 2 * half, _HEAD - 6, filled=True))
        strokes += centred(x, _HEAD / 2 - 1, name, int(half / 2.6), size=8, bold=True)
        strokes.append(Line(x, _HEAD - 4, x, bottom, dash="dashed"))
    for n, message in enumerate(messages):
        strokes += _message(_HEAD + _STEP * (n + 1), at[message.sender], at[message.receiver], message.text, gap)
    return Drawing(WIDTH, bottom + 4, tuple(strokes))


def _message(y: float, start: float, end: float, text: str, gap: float) -> list[Stroke]:
    if start == end:
        return [Box(start - 3, y - 14, 6, 18, filled=True), *_beside(start + 8, y - 3, text, gap)]
    lines = wrapped(text, int(abs(end - start) / 4.1))
    middle = (start + end) / 2
    above: list[Stroke] = [Text(middle, y - 4 - 9 * (len(lines) - 1 - n), line, 8) for n, line in enumerate(lines)]
    return [*above, Line(start, y, end, y, arrow=True)]


def _beside(x: float, y: float, text: str, gap: float) -> list[Stroke]:
    room = gap if x + gap < WIDTH else WIDTH - x
    lines = wrapped(text, max(int(room / 4.1), 14))
    return [Text(x, y - 4.5 * (len(lines) - 1) + 9 * n, line, 8, anchor="start") for n, line in enumerate(lines)]
