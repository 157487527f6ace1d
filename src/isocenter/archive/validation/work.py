"""Validation by the whole standard's tables: the work, in a process of its own, since it needs pydicom (`validate`).

The tables are a folder as dicom-validator keeps them: `<folder>/<edition>/json`, made there from `<edition>/docbook`
(parts 3, 4 and 6 of the standard) where they are missing or of another version. Nothing is fetched from the network.

Run as a program (`python -m isocenter.archive.validation.work FOLDER`) it answers requests from standard input on
standard output until that ends or nothing has come for `IDLE` seconds.
"""

import io
import logging
import re
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from isocenter.archive.validation.values import named
from isocenter.dicom.deflate import inflate
from isocenter.dicom.uids import transfer_syntax
from isocenter.errors import ConfigurationError
from isocenter.workers.serving import serve

IDLE: Final = 300.0
_EDITION: Final = re.compile(r"\d{4}[a-h]")
_WORDS: Final = {
    "TagMissing": "is missing",
    "TagEmpty": "is empty",
    "TagUnexpected": "is not part of this class",
    "TagNotAllowed": "is not allowed here",
    "EnumValueNotAllowed": "has a value that is not among those allowed",
    "InvalidValue": "has an illegal value",
    "InvalidSequence": "is no legal sequence",
}
_MOST: Final = 32


class Request(NamedTuple):
    """The data set before its pixel data, and the pixel data's tag and VR ((0, '') where there is none)."""

    data: bytes
    syntax: str
    pixel: int
    vr: str


def edition_in(folder: Path) -> str:
    """The latest edition of the standard in a folder. ConfigurationError where there is none."""
    names = [entry.name for entry in folder.iterdir() if _EDITION.fullmatch(entry.name)] if folder.is_dir() else []
    usable = [name for name in sorted(names) if _has_json(folder / name) or _has_docbook(folder / name)]
    if not usable:
        raise ConfigurationError(f"standard: there are no tables of the standard in {folder}")
    return usable[-1]


def _has_json(edition: Path) -> bool:
    names = ("iod_info.json", "module_info.json", "dict_info.json", "version")
    return all((edition / "json" / name).is_file() for name in names)


def _has_docbook(edition: Path) -> bool:
    return all((edition / "docbook" / f"part{part:02}.xml").is_file() for part in (3, 4, 6))


def tables(folder: Path) -> Any:
    """dicom-validator's `DicomInfo` of the latest edition in `folder`. ConfigurationError where there is none."""
    from dicom_validator.spec_reader.edition_reader import EditionReader

    edition = edition_in(folder)
    reader = EditionReader(folder)
    if not _has_json(folder / edition) or not reader.is_current_version(edition):
        if not _has_docbook(folder / edition):
            raise ConfigurationError(f"standard: the tables in {folder} are of another version of dicom-validator")
        reader.json_path(edition).mkdir(parents=True, exist_ok=True)
        reader.create_json_files(edition)
    return reader.load_dicom_info(edition)


class _Silent:
    """A result handler that says nothing: values of an object are nobody's business but the sender's."""

    def handle_validation_start(self, result: Any) -> None:
        """Nothing."""

    def handle_validation_result(self, result: Any) -> None:
        """Nothing."""


def findings(request: Request, info: Any) -> list[str]:
    """What is wrong with a data set by the tables `info`; nothing for a class that they don't have."""
    from dicom_validator.validator.iod_validator import IODValidator

    result = IODValidator(_data_set(request), info, suppress_vr_warnings=True, error_handler=_Silent()).validate()
    found = []
    for module, errors in result.module_errors.items():
        for tag, error in errors.items():
            found.append(f"{named(int(tag.tag))} {_WORDS.get(error.code.name, 'is wrong')}, {module}")
    return found[:_MOST]


def _data_set(request: Request) -> Any:
    from pydicom import config
    from pydicom.dataelem import DataElement
    from pydicom.filereader import read_dataset

    config.settings.reading_validation_mode = config.IGNORE
    syntax = transfer_syntax(request.syntax)
    data = inflate(request.data) if syntax.deflated else request.data
    data_set = read_dataset(io.BytesIO(data), is_implicit_VR=syntax.implicit, is_little_endian=syntax.little)
    if request.pixel:
        with_value = DataElement(request.pixel, request.vr if request.vr in ("OB", "OW", "OF", "OD") else "OW", b"\0\0")
        data_set[request.pixel] = with_value
    return data_set


def main() -> None:
    """Answer requests. A text instead of a list says why it can't be done; the next request tries again."""
    logging.disable(logging.CRITICAL)
    folder, requests = Path(sys.argv[1]), msgspec.msgpack.Decoder(Request)
    held: list[Any] = []

    def answer(body: bytearray) -> list[bytes]:
        try:
            held[:] = held or [tables(folder)]
            found: list[str] | str = findings(requests.decode(body), held[0])
        except ConfigurationError as error:
            found = error.comment
        except Exception:
            # what pydicom can't read at all is found fault with by its sender's archive, not by the end of this process
            found = ["the data set can't be read by pydicom"]
        return [msgspec.msgpack.encode(found)]

    serve(answer, IDLE)


if __name__ == "__main__":
    main()
