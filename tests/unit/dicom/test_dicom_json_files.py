"""The JSON model of every real file, against pydicom's, modulo the differences that the module documents."""

import base64
import io
import json
import math
import warnings
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.filereader import read_partial

from isocenter.dicom import json_model
from isocenter.dicom.bulk_data import bulk_value
from isocenter.dicom.elements import MalformedDataSet
from isocenter.dicom.swapping import swapped
from material import data_files

URI = "http://here/bulkdata"
PIXELS = ("7FE00010", "7FE00008", "7FE00009")
SIZE_LIMIT = 4_000_000


def _split(path: Path) -> tuple[bytes, str] | None:
    """The data set's bytes and transfer syntax of a Part 10 file; None for what is none."""
    raw = path.read_bytes()
    if raw[128:140] != b"DICM\x02\x00\x00\x00UL\x04\x00":
        return None
    start = 144 + int.from_bytes(raw[140:144], "little")
    meta = read_partial(io.BytesIO(raw), stop_when=lambda tag, vr, length: True).file_meta
    return (raw[start:], str(meta.TransferSyntaxUID)) if "TransferSyntaxUID" in meta else None


def _same_number(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, str) and isinstance(theirs, float):
        return not math.isfinite(theirs)
    return mine == theirs or math.isclose(float(mine), float(theirs), rel_tol=1e-12)


def _swapped(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether one is the other's words in the other byte order: pydicom leaves OW as it lies in big endian files."""
    return swapped(a["vr"], base64.b64decode(a["InlineBinary"])) == base64.b64decode(b["InlineBinary"])


def _plain(value: Any) -> Any:
    """Without what pydicom keeps of padding and of empty component groups, and without nulls."""
    if isinstance(value, dict):
        return {k: v.rstrip(" \0") for k, v in value.items() if v.strip(" \0")} or None
    if isinstance(value, str):
        return value.rstrip(" \0") or None
    return value


def _compare(mine: dict[str, Any], theirs: dict[str, Any], path: str, differences: list[str]) -> None:
    for tag in sorted(mine.keys() | theirs.keys()):
        here = f"{path}{tag}"
        if tag.endswith("0000") or tag in ("FFFCFFFC", "00080005") or int(tag[:4], 16) in (0, 2):
            continue
        if tag not in mine or tag not in theirs:
            differences.append(f"{here}: only in {'mine' if tag in mine else 'theirs'}")
            continue
        _compare_element(mine[tag], theirs[tag], here, differences)


def _compare_element(a: dict[str, Any], b: dict[str, Any], here: str, differences: list[str]) -> None:
    if "BulkDataURI" in a:
        assert here.rpartition("/")[2] in PIXELS or len(base64.b64decode(b.get("InlineBinary", ""))) > 1024
        return
    if a["vr"] == "UN" and int(here[-5:-4], 16) % 2:
        return  # pydicom knows some private elements
    if a["vr"] != b["vr"]:
        differences.append(f"{here}: {a['vr']} {b['vr']}")
        return
    if a["vr"] == "SQ":
        items, others = a.get("Value", []), b.get("Value", [])
        if len(items) != len(others):
            differences.append(f"{here}: {len(items)} items, {len(others)}")
        for i, (item, other) in enumerate(zip(items, others, strict=False), 1):
            _compare(item, other, f"{here}/{i}/", differences)
        return
    if a.get("InlineBinary") != b.get("InlineBinary") and not _swapped(a, b):
        differences.append(f"{here}: binary differs")
    values, others = [_plain(v) for v in a.get("Value", [])], [_plain(v) for v in b.get("Value", [])]
    numeric = a["vr"] in ("IS", "DS", "FL", "FD")
    same = len(values) == len(others) and all(
        x == y or (numeric and None not in (x, y) and _same_number(x, y)) for x, y in zip(values, others, strict=True)
    )
    if not same and (any(values) or any(others)):
        differences.append(f"{here} {a['vr']}: values differ")


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("path", data_files(), ids=lambda p: p.name)
def test_json_equals_pydicom(path: Path) -> None:
    split = _split(path)
    if split is None or len(split[0]) > SIZE_LIMIT:
        pytest.skip("no Part 10 file, or a large one")
    data, syntax = split
    try:
        theirs = pydicom.dcmread(path).to_json_dict()
    except Exception as error:
        pytest.skip(f"pydicom can't: {type(error).__name__}")
    try:
        mine = json.loads(json_model.write(data, syntax, bulk_uri=URI))
    except MalformedDataSet:
        assert path.name in ("MR_truncated.dcm", "rtplan_truncated.dcm", "emri_small_jpeg_2k_lossless_too_short.dcm")
        return
    differences: list[str] = []
    _compare(mine, theirs, "", differences)
    assert not differences
    _resolve(mine, data, syntax, "")


def _resolve(mine: dict[str, Any], data: bytes, syntax: str, path: str) -> None:
    """Each BulkDataURI leads back to a value of its VR."""
    for tag, element in mine.items():
        if "BulkDataURI" in element:
            assert element["BulkDataURI"] == f"{URI}/{path}{tag}"
            vr, value = bulk_value(data, syntax, f"{path}{tag}")
            assert vr == element["vr"]
            assert len(value) > 1024 or tag in PIXELS
        for i, item in enumerate(element.get("Value", []) if element["vr"] == "SQ" else [], 1):
            _resolve(item, data, syntax, f"{path}{tag}/{i}/")
