"""The DICOM JSON model (PS3.18 F) straight from the bytes of a data set, and elements of it for query answers.

Text leaves as UTF-8, so Specific Character Set says ISO_IR 192. Differences from what pydicom writes: numbers keep the
digits they were sent with; a value that is empty among others is null; DS and IS that are no numbers are strings;
NaN and the infinities are strings; trailing padding (FFFC,FFFC), command and file meta groups are left out; elements of
VR UN that PS3.6 knows get its VR; words of big endian data sets are swapped wherever they are inline.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from isocenter.dicom.charset import character_set
from isocenter.dicom.deflate import inflate
from isocenter.dicom.elements import encoding_of
from isocenter.dicom.json_values import empty, name_values, number_strings, opening, quote
from isocenter.dicom.json_writer import UTF_8_ELEMENT, Form, Writer
from isocenter.dicom.uids import transfer_syntax

THRESHOLD: Final = 1024
"""Bytes up to which binary values are written inline."""
CHARACTER_SET_ELEMENT: Final = UTF_8_ELEMENT.encode("ascii")
"""Specific Character Set of whatever this module writes, as a member of an object."""


def write(
    data: bytes,
    syntax: str,
    *,
    bulk_uri: str | None,
    threshold: int = THRESHOLD,
    text_threshold: int | None = None,
    skip: frozenset[int] = frozenset(),
    pixel: tuple[int, str] | None = None,
    default_charset: str = "",
    cache: dict[bytes, str] | None = None,
) -> bytes:
    """The data set (whole, or up to its pixel data) as one JSON object in UTF-8.

    Binary values above `threshold` bytes and pixel data become BulkDataURI `<bulk_uri>/<path>`, as does text of LT, ST,
    UC and UT above `text_threshold` if given; `bulk_data.bulk_value` resolves the path. With `bulk_uri` None all values
    are inline and pixel data is left out. `skip` are tags left out of the top level. `pixel` announces the tag and VR
    of pixel data that `data` was cut before. `default_charset` is for data sets without (0008,0005) (I-CHAR-04).
    `cache`, an empty dict at first, makes further instances of a series cheaper: their equal elements are written once.
    It holds values of patients: drop it with the series. Raises MalformedDataSet.
    """
    if transfer_syntax(syntax).deflated:
        data = inflate(data)
    form = Form(bulk_uri, threshold, text_threshold, skip)
    writer = Writer(form, character_set(default_charset), cache)
    writer.data_set(data, encoding_of(syntax))
    if pixel is not None and pixel[0] not in skip:
        writer.announce(*pixel)
    return writer.finish()


Value = str | int | float | None


def element(tag: int, vr: str, values: Sequence[Value] | Value) -> bytes:
    """One member of a DICOM JSON object, for rows of a query: `values` are decoded text (names with their `=`) or
    numbers; None, '' and () write an element without value; among others they are null."""
    listed: Sequence[Value] = (values,) if values is None or isinstance(values, str | int | float) else values
    if not any(value is not None and value != "" for value in listed):
        return empty(tag, vr).encode("ascii")
    form = _FORMS.get(vr, quote)
    rendered = ["null" if v is None or v == "" else form(v) if isinstance(v, str) else repr(v) for v in listed]
    return f"{opening(tag, vr)}{','.join(rendered)}]}}".encode()


def sequence(tag: int, items: Iterable[bytes]) -> bytes:
    """One member that holds `items`, each an object."""
    joined = b",".join(items)
    return b"%b%b]}" % (opening(tag, "SQ").encode("ascii"), joined) if joined else empty(tag, "SQ").encode("ascii")


def data_set(elements: Iterable[bytes]) -> bytes:
    """The object of `elements`, which are in the order of their tags."""
    return b"{%b}" % b",".join(elements)


_FORMS: Final[dict[str, Callable[[str], str]]] = {
    "PN": name_values,
    "DS": partial(number_strings, integer=False),
    "IS": partial(number_strings, integer=True),
}
