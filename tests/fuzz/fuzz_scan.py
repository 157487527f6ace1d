"""Fuzz targets for whatever reads bytes of a data set or a file header: any bytes give a result or a clean refusal.

    PYTHONPATH=tests .venv/bin/python tests/fuzz/fuzz_scan.py [seconds]     real files, mutated

`make test` runs `check_*` under Hypothesis for a moment; Atheris finds them by name.
"""

import random
from contextlib import suppress

from fuzz.loop import run, seconds_asked
from isocenter.dicom import dataset, uids
from isocenter.dicom.convert import Conversion, native_syntaxes
from isocenter.dicom.elements import Kind, walk
from isocenter.dicom.headers import MalformedDataSet, NeedMore
from isocenter.dicom.part10 import read_header, read_receipt
from isocenter.dicom.scan import scan, scan_file
from isocenter.errors import Refused

SYNTAXES = (uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE, uids.JPEG_BASELINE)
WANTED = frozenset([0x00080018, 0x00080060, 0x00081140, 0x00100010, 0x0020000D, 0x00280010, 0x00400275])


def check_scan(data: bytes) -> None:
    """A scan gives offsets within the data; in pieces it gives the same; a prefix asks for more than it was."""
    for syntax in SYNTAXES:
        found = refused = None
        try:
            found = scan(data, syntax, WANTED)
        except MalformedDataSet as error:
            refused = error
        with suppress(MalformedDataSet):  # nothing else may be raised
            again = scan_file(lambda n, at: data[at : at + n], len(data), syntax, WANTED, chunk=32)
            assert found == again, "whole and in pieces differ"
            assert refused is None
        hint = _asked(data, syntax)
        assert hint is None or hint > len(data)


def _asked(prefix: bytes, syntax: str) -> int | None:
    try:
        scan(prefix, syntax, WANTED, whole=False)
    except NeedMore as more:
        return more.hint
    except MalformedDataSet:
        pass  # nothing else may be raised
    return None


def check_walk(data: bytes) -> None:
    """A walk opens and closes in order and stays within the data."""
    for syntax in SYNTAXES[:3]:
        opened: list[Kind] = []
        with suppress(MalformedDataSet):  # nothing else may be raised
            for event in walk(data, syntax):
                assert 0 <= event.start <= event.offset <= event.offset + max(event.length, 0) <= len(data)
                if event.kind in (Kind.SEQUENCE, Kind.ITEM, Kind.FRAGMENTS):
                    opened.append(event.kind)
                elif event.kind not in (Kind.VALUE, Kind.FRAGMENT):
                    assert (
                        opened.pop()
                        == {
                            Kind.SEQUENCE_END: Kind.SEQUENCE,
                            Kind.ITEM_END: Kind.ITEM,
                            Kind.FRAGMENTS_END: Kind.FRAGMENTS,
                        }[event.kind]
                    )
            assert not opened


def check_decode(data: bytes) -> None:
    """What can be decoded can be encoded, and is then stable."""
    for syntax in SYNTAXES[:4]:
        with suppress(MalformedDataSet):  # nothing else may be raised
            encoded = dataset.encode(dataset.decode(data, syntax), syntax)
            assert dataset.encode(dataset.decode(encoded, syntax), syntax) == encoded
        with suppress(MalformedDataSet):  # nothing else may be raised
            dataset.items(data, syntax)


def check_convert(data: bytes) -> None:
    """A conversion is as long as it said and can be read again."""
    for source in native_syntaxes:
        for target in native_syntaxes:
            with suppress(Refused):  # nothing else may be raised
                conversion = Conversion(lambda at, n: data[at : at + n], len(data), source, target)
                size = conversion.size()
                result = b"".join(conversion.pieces())
                assert len(result) == size


def check_header(data: bytes) -> None:
    """A file header ends within the file; receipt facts are read or are not there."""
    with suppress(MalformedDataSet):  # nothing else may be raised
        header = read_header(data)
        assert 0 <= header.offset <= len(data)
        read_receipt(header)
    with suppress(MalformedDataSet, NeedMore):  # nothing else may be raised
        read_header(data, whole=False)


CHECKS = (check_scan, check_walk, check_decode, check_convert, check_header)


def _mutated(seed: bytes, chance: random.Random) -> bytes:
    data = bytearray(seed)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(data) + 1)
        choice = chance.randrange(4)
        if choice == 0 and data:
            data[min(at, len(data) - 1)] = chance.choice([0, 1, 8, 0x7F, 0x80, 0xFE, 0xFF, 0xE0, chance.randrange(256)])
        elif choice == 1:
            del data[at : at + chance.randint(1, 16)]
        elif choice == 2:
            data[at:at] = data[chance.randrange(len(data) + 1) :][: chance.randint(1, 64)]
        else:
            data[at:at] = chance.choice([b"\xfe\xff\0\xe0\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xff" * 4])
    return bytes(data)


def _made(chance: random.Random, seeds: list[bytes]) -> bytes:
    seed = chance.choice(seeds)
    if seed[128:132] == b"DICM" and chance.random() < 0.8:
        seed = seed[read_header(seed).offset :]
    return _mutated(seed, chance)


def check(data: bytes) -> None:
    """All checks."""
    for one in CHECKS:
        one(data)


def main(seconds: float) -> None:
    """Run all checks over mutated real headers for so long."""
    from material import data_files

    seeds = [path.read_bytes()[:6000] for path in data_files()]
    run(seconds, lambda chance: _made(chance, seeds), check)


if __name__ == "__main__":
    main(seconds_asked())
