"""Pictures of real files beside those that DCMTK makes of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from imaging_objects import data_set_of
from isocenter.errors import IsocenterError, Reason
from isocenter.imaging.engine import Bounds, Engine
from isocenter.imaging.picture import PNG, Picture, Window
from material import collection_files, packaged_files
from peer_programs import needs, run
from pictures import Gallery, pixels_of

pytestmark = needs("dcmj2pnm")
FILES = {path.name: path for path in (*collection_files(), *packaged_files())}


@pytest.fixture(scope="module")
def gallery() -> Iterator[Gallery]:
    engine = Engine(Bounds(frame=64 << 20, memory=1 << 30, patience=30.0), 1)
    yield Gallery(engine)
    engine.close()


def held(name: str) -> Path:
    """A real file by its name; without it the test is skipped."""
    if name not in FILES:
        pytest.skip(f"no {name} here: it is not in the package, and the collection is not beside this checkout")
    return FILES[name]


def by_dcmtk(path: Path, folder: Path, *options: str) -> np.ndarray:
    """The picture that DCMTK makes of the first frame. It cuts numbers off where we round them."""
    run("dcmj2pnm", "+on", *options, path, folder / "picture.png")
    with Image.open(folder / "picture.png") as found:
        return np.asarray(found)


def differ(one: np.ndarray, other: np.ndarray) -> tuple[float, int]:
    """How far two pictures are apart: in the mean, and at most."""
    assert one.shape == other.shape
    apart = np.abs(one.astype(int) - other.astype(int))
    return float(apart.mean()), int(apart.max())


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("693_UNCI.dcm", "+Wi 1"),  # several windows
        ("MR-SIEMENS-DICOM-WithOverlays.dcm", "+Wi 1"),
        ("MR_small.dcm", "+Wi 1"),
        ("MR_small_RLE.dcm", "+Wi 1"),
        ("MR_small_bigendian.dcm", "+Wi 1"),
        ("MR_small_implicit.dcm", "+Wi 1"),
        ("CT_small.dcm", "+Wm"),  # no window: from the least to the greatest value
        ("emri_small.dcm", "+Wm"),
        ("rtdose.dcm", "+Wm"),  # 32 bits
        ("JPEG-LL.dcm", "+Wm"),
        ("JPGLosslessP14SV1_1s_1f_8b.dcm", "+Wi 1"),
        ("mlut_18.dcm", "+Wm"),  # modality LUT
        ("vlut_04.dcm", "+Wl 1"),  # VOI LUT
        ("image_dfl.dcm", ""),  # deflated
        ("liver_1frame.dcm", "+Wm"),  # single bits
        ("OT-PAL-8-face.dcm", ""),  # palette
        ("OBXXXX1A_rle.dcm", ""),
        ("ExplVR_BigEnd.dcm", ""),
        ("SC_rgb_16bit.dcm", ""),
        ("SC_rgb_dcmtk_+eb+cy+s4.dcm", ""),
        ("SC_rgb_jpeg_dcmtk.dcm", ""),
        ("SC_ybr_full_422_uncompressed.dcm", ""),
        ("US1_UNCR.dcm", ""),
    ],
)
def test_a_picture_is_the_one_that_dcmtk_makes(gallery: Gallery, tmp_path: Path, name: str, option: str) -> None:
    path = held(name)
    found = gallery.pixels(gallery.hang_file(path), 1)
    mean, most = differ(found, by_dcmtk(path, tmp_path, *option.split()))
    assert mean <= 1
    assert most <= 2


@pytest.mark.parametrize("window", [Window(40, 400), Window(500, 50), Window(1000.5, 1)])
def test_a_window_of_the_request_is_dcmtks(gallery: Gallery, tmp_path: Path, window: Window) -> None:
    path = held("CT_small.dcm")
    wanted = by_dcmtk(path, tmp_path, "+Ww", str(window.center), str(window.width))
    assert differ(gallery.pixels(gallery.hang_file(path), window=window), wanted)[1] <= 1


@pytest.mark.parametrize("number", [1, 2, 5, 10])
def test_every_frame_is_the_one_of_its_number(gallery: Gallery, tmp_path: Path, number: int) -> None:
    path = held("emri_small.dcm")
    wanted = by_dcmtk(path, tmp_path, "+Wm", "+F", str(number))
    assert differ(gallery.pixels(gallery.hang_file(path), number), wanted)[1] <= 1


@pytest.mark.skipif(not collection_files(), reason="the collection of real files is not beside this checkout")
def test_every_file_of_the_collection_has_a_picture_or_a_reason(gallery: Gallery) -> None:
    """Of the small ones; nothing brings a worker down."""
    drawn, reasons = 0, set()
    for path in collection_files():
        try:
            located = gallery.hang(*data_set_of(path))
        except (IsocenterError, ValueError):
            continue  # no object, or none that the archive takes
        if path.stat().st_size > 200_000:
            continue
        try:
            gallery.rendered(located, width=64, height=64)
            drawn += 1
        except IsocenterError as refused:
            reasons.add(refused.reason)
    assert drawn > 100
    assert reasons <= {Reason.NOT_ACCEPTABLE, Reason.CANNOT_UNDERSTAND}


@needs("dcmpsmk", "dcmp2pgm")
@pytest.mark.parametrize(("rotation", "flip"), [(0, "N"), (90, "N"), (90, "Y"), (180, "Y"), (270, "N")])
def test_a_presentation_state_is_applied_as_dcmtk_does(
    gallery: Gallery, tmp_path: Path, rotation: int, flip: str
) -> None:
    """It draws bitmaps without overlays and shutters."""
    path, said, drawn = FILES["MR_small.dcm"], tmp_path / "state.dcm", tmp_path / "picture.pgm"
    run("dcmpsmk", path, said)
    state = dcmread(said)
    state.ImageRotation, state.ImageHorizontalFlip, state.PresentationLUTShape = rotation, flip, "INVERSE"
    state.SoftcopyVOILUTSequence[0].WindowCenter, state.SoftcopyVOILUTSequence[0].WindowWidth = "500", "700"
    state.save_as(said)
    run("dcmp2pgm", "-p", said, path, drawn)
    found = gallery.rendering.rendered(
        gallery.hang_file(path), (), Picture(PNG, overlays=False), gallery.hang_file(said)
    )
    with Image.open(drawn) as wanted:
        assert differ(pixels_of(found.data), np.asarray(wanted))[1] <= 1
