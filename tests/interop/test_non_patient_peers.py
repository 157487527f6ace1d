"""Palettes of the standard, sent by DCMTK, then asked for and got by pynetdicom."""

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_palette_files
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ColorPaletteInformationModelFind,
    ColorPaletteInformationModelGet,
    ColorPaletteStorage,
)

from archives import Running, running
from databases import migrated
from peer_programs import needs, run

PALETTES = [Path(name) for name in get_palette_files("*.dcm")]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("palettes")
    with running(folder, migrated(folder), durable=False) as archive:
        yield archive


@needs("dcmsend")
def test_palettes_go_there_and_back(archive: Running) -> None:
    title = archive.settings.aes[0].title
    run("dcmsend", "-aec", title, "127.0.0.1", archive.port, *PALETTES)
    peer = AE()
    for context in (ColorPaletteInformationModelFind, ColorPaletteInformationModelGet, ColorPaletteStorage):
        peer.add_requested_context(context)
    got: list[Dataset] = []

    def keep(event: evt.Event) -> int:
        got.append(event.dataset)
        return 0

    roles = [build_role(ColorPaletteStorage, scp_role=True)]
    handlers = [(evt.EVT_C_STORE, keep)]
    association = peer.associate("127.0.0.1", archive.port, ae_title=title, ext_neg=roles, evt_handlers=handlers)
    assert association.is_established
    asked = Dataset()
    asked.ContentLabel, asked.ContentDescription, asked.SOPInstanceUID = "HOT_IRON", "", ""
    answers = list(association.send_c_find(asked, ColorPaletteInformationModelFind))
    assert [status.Status for status, _ in answers] == [0xFF00, 0x0000]
    assert answers[0][1].ContentDescription == "Hot Iron"
    every = Dataset()
    every.SOPInstanceUID = [pydicom.dcmread(path).SOPInstanceUID for path in PALETTES]
    *_, (last, _) = association.send_c_get(every, ColorPaletteInformationModelGet)
    association.release()
    assert (last.Status, last.NumberOfCompletedSuboperations) == (0, len(PALETTES))
    sent = {str(each.SOPInstanceUID): each.to_json_dict() for each in map(pydicom.dcmread, PALETTES)}
    assert {str(each.SOPInstanceUID): each.to_json_dict() for each in got} == sent
