"""Made-up data sets for property tests: every element with the VR that the dictionary gives it."""

import struct

from hypothesis import strategies as st

from isocenter.dicom.dataset import DataSet, Element

_TEXTS = {
    0x00080005: "CS",
    0x00080018: "UI",
    0x00080020: "DA",
    0x00080030: "TM",
    0x00080050: "SH",
    0x0008002A: "DT",
    0x00081030: "LO",
    0x00100010: "PN",
    0x00101010: "AS",
    0x001021B0: "LT",
    0x00104000: "LT",
    0x00280030: "DS",
    0x00200013: "IS",
    0x00080054: "AE",
    0x0040A160: "UT",
    0x00080119: "UC",
    0x00081190: "UR",
    0x00090010: "LO",
}
_WORDS = {
    0x00280010: ("US", "<H"),
    0x00280009: ("AT", "<H"),
    0x00189602: ("FD", "<d"),
    0x00186020: ("SL", "<i"),
    0x00209057: ("UL", "<I"),
    0x00189810: ("US", "<H"),
    0x00660016: ("OF", "<f"),
    0x00280106: ("US", "<H"),
    0x00089459: ("FL", "<f"),
    0x60003000: ("OW", "<H"),
    0x7FE00001: ("OV", "<Q"),
    0x7FE00009: ("OD", "<d"),
    0x00091010: ("UN", "<B"),
    0x00420011: ("OB", "<B"),
}
_SEQUENCES = (0x00081140, 0x00400275, 0x0040A730, 0x52009229)
_PADDING = {"UI": b"\0"}


def _text(vr: str) -> st.SearchStrategy[Element]:
    characters = st.characters(min_codepoint=0x30, max_codepoint=0x39)
    return st.text(characters, max_size=30).map(lambda text: Element(vr, _even(vr, text.encode("ascii"))))


def _even(vr: str, value: bytes) -> bytes:
    return value + _PADDING.get(vr, b" ") * (len(value) % 2)


def _words(vr: str, form: str) -> st.SearchStrategy[Element]:
    number = st.integers(0, 100) if vr != "AT" else st.sampled_from([0x8, 0x10])
    return st.lists(number, min_size=0, max_size=5).map(
        lambda values: Element(vr, b"".join(struct.pack(form, v) for v in values + values))
    )


def _flat() -> st.SearchStrategy[DataSet]:
    elements = {tag: _text(vr) for tag, vr in _TEXTS.items()} | {tag: _words(*of) for tag, of in _WORDS.items()}
    return st.fixed_dictionaries({}, optional=elements)


def data_sets() -> st.SearchStrategy[DataSet]:
    """Data sets with sequences up to a few levels deep; values have even length and plain digits as text."""

    def with_sequences(inner: st.SearchStrategy[DataSet]) -> st.SearchStrategy[DataSet]:
        sequence = st.lists(inner, max_size=3).map(lambda items: Element("SQ", tuple(items)))
        sequences = st.dictionaries(st.sampled_from(_SEQUENCES), sequence, max_size=2)
        return st.tuples(_flat(), sequences).map(lambda both: both[0] | both[1])

    return st.recursive(_flat(), with_sequences, max_leaves=6)
