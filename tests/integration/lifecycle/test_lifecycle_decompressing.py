"""What came compressed is kept decompressed where a rule says so, as a viewer's store does."""

from pathlib import Path

import numpy as np
import pytest

from archives import CT, Object, running, sop_uid
from compressing_archives import COLOUR, compress, image
from imaging_objects import encapsulated_object, frames_in, native_frames
from isocenter.dicom import uids
from isocenter.dicom.dataset import decode
from isocenter.errors import ConfigurationError
from isocenter.imaging.encoding import encoded
from isocenter.imaging.engine import Engine
from isocenter.imaging.recode import Lossy

RULE = {"called": ["ISOCENTER"], "stored": ["JPEG2000Lossless", "RLELossless"], "to": "ExplicitVRLittleEndian"}


def compressed(number: int, syntax: str) -> Object:
    plain = image(number, COLOUR)
    head = {f"{tag:08X}": e for tag, e in decode(plain.data, plain.syntax).items() if tag < 0x7FE00010}
    frames = [encoded(array, COLOUR, syntax, Lossy()) for array in native_frames(COLOUR)[0]]
    return Object(CT, plain.sop_uid, syntax, encapsulated_object(COLOUR, frames, **head), plain.study, plain.series)


@pytest.mark.req("M-DWSTORE-02")
def test_compressed_images_are_decompressed_and_kept(tmp_path: Path, sqlite_url: str, engine: Engine) -> None:
    with running(tmp_path, sqlite_url, durable=False) as archive:
        archive.send(compressed(1, uids.JPEG_2000_LOSSLESS), compressed(2, uids.RLE_LOSSLESS), image(3, COLOUR))
        compress(archive, engine, RULE)
        rows = {row.sop_uid: row for row in archive.rows("instance")}
        assert {row.syntax for row in rows.values()} == {uids.EXPLICIT_LE}
        for number in (1, 2, 3):
            row = rows[sop_uid(number)]
            found = [array for array, _ in frames_in(archive.data_of(row.store_key), row.syntax)]
            assert all(map(np.array_equal, found, native_frames(COLOUR)[0]))


def test_a_rule_that_names_nothing_to_decompress_is_refused(tmp_path: Path, sqlite_url: str, engine: Engine) -> None:
    with running(tmp_path, sqlite_url, durable=False) as archive:
        archive.send(image(1, COLOUR))
        with pytest.raises(ConfigurationError, match="stored"):
            compress(archive, engine, {"to": "ExplicitVRLittleEndian"})
