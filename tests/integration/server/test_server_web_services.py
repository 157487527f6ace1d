"""The services beside DICOMweb, and commitment over HTTP, in a whole server."""

from pathlib import Path

import httpx

import soap_messages as soap
from servers import Server, until
from web_archive import STOW, image, multipart, part10

SETTINGS = {"http__token": "secret", "http__open": False, "http__repository": soap.REPOSITORY}
DICOM = "application/dicom"
FILE = '[[ae]]\ntitle = "VAULT"\ncommitment = { check = "digest" }\n'


def test_soap_and_commitment_by_a_job(tmp_path: Path) -> None:
    made = image(1, study="vault")
    data = tmp_path / "data"
    data.mkdir()
    (data / "isocenter.toml").write_text(FILE)
    with Server(data, settings=SETTINGS) as server:
        token = {"Authorization": "Bearer secret"}
        where = f"{server.url}/wado-ws"
        assert httpx.get(f"{where}?wsdl").status_code == 401
        with httpx.Client(base_url=f"{server.url}/dicom-web", headers=token, timeout=60) as client:
            assert client.post("/studies", content=multipart([part10(made)]), headers=STOW).status_code == 200
            found = soap.ask(where, soap.documents(soap.named(made)), **token)
            assert (found.outcome, len(found.contents)) == (soap.SUCCESS, 1)

            uids = {"studyUID": made.StudyInstanceUID, "seriesUID": made.SeriesInstanceUID}
            query = {"requestType": "WADO", **uids, "objectUID": made.SOPInstanceUID}
            assert httpx.get(f"{server.url}/wado", params=query).status_code == 401
            assert client.get(f"{server.url}/wado", params=query).headers["content-type"] == "image/jpeg"
            nobody = client.get(f"{server.url}/wado", params=query | {"anonymize": "yes", "contentType": DICOM})
            assert nobody.status_code == 200
            assert str(made.PatientName).encode() not in nobody.content
            assert (data / "deidentification.key").exists()

            reference = {"00081150": made.SOPClassUID, "00081155": made.SOPInstanceUID}
            item = {tag: {"vr": "UI", "Value": [uid]} for tag, uid in reference.items()}
            asked = {"00081199": {"vr": "SQ", "Value": [item]}}
            result = "/commitment-requests/2.25.7"
            kind = {"Content-Type": "application/dicom+json"}
            assert client.post(result, json=asked, headers=kind).status_code == 202
            answer = until(lambda: (answer := client.get(result)).status_code == 200 and answer)
            assert isinstance(answer, httpx.Response)
            assert answer.json() == asked
