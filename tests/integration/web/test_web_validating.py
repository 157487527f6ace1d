"""STOW-RS at an AE that looks at what it receives: warnings and refusals as over DIMSE."""

from pathlib import Path

import httpx
import pytest
from pydicom import Dataset

from isocenter.config.settings import HostedAE
from web_archive import STOW, image, multipart, opened_archive, part10


def _posted(client: httpx.Client, *objects: Dataset) -> httpx.Response:
    return client.post("/studies", content=multipart([part10(each) for each in objects]), headers=STOW)


@pytest.mark.req("I-STORE-08", "I-STOW-RS-03", "I-STOW-ST-02")
def test_a_warning(tmp_path: Path) -> None:
    with opened_archive(tmp_path, ae=HostedAE(validation="minimal")) as (client, _):
        lacking = image(1)
        del lacking.PatientID
        answer = _posted(client, lacking, image(2))
        assert answer.status_code == 202
        first, second = answer.json()["00081199"]["Value"]
        assert first["00081196"] == {"vr": "US", "Value": [0xB007]}
        assert "00081196" not in second
        assert _posted(client, image(2)).status_code == 200


@pytest.mark.req("I-STORE-08", "I-STOW-RS-05")
def test_a_refusal(tmp_path: Path) -> None:
    ae = HostedAE(validation="minimal", validation_failure="refuse", unknown_character_set="refuse")
    with opened_archive(tmp_path, ae=ae) as (client, archive):
        lacking, strange = image(1), image(2)
        del lacking.PatientID
        strange.add_new(0x00080005, "CS", "KLINGON")
        answer = _posted(client, lacking, strange)
        assert answer.status_code == 409
        failed = answer.json()["00081198"]["Value"]
        assert [item["00081197"]["Value"][0] for item in failed] == [0xA900, 0xC000]
        assert len(list(archive.store.exceptions())) == 2
