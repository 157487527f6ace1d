"""What the settings say of DICOMweb, in a whole server."""

from pathlib import Path

import httpx

from servers import Server

ORIGIN = "https://viewer.example.org"
SETTINGS = {"http__search": "patient", "http__origins": ORIGIN, "http__token": "secret", "http__open": False}


def test_policy_origins_and_statement(tmp_path: Path) -> None:
    with Server(tmp_path / "data", settings=SETTINGS) as server:
        token = {"Authorization": "Bearer secret"}
        with httpx.Client(base_url=f"{server.url}/dicom-web", timeout=60) as client:
            assert client.get("/studies", headers=token).status_code == 413
            assert client.get("/studies?PatientID=1", headers=token).json() == []
            asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET",
                     "Access-Control-Request-Headers": "authorization"}  # fmt: skip
            preflight = client.options("/studies", headers=asked)
            assert preflight.status_code == 204
            assert preflight.headers["access-control-allow-headers"] == "authorization"
            refused = client.get("/studies", headers={"Origin": ORIGIN})
            assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ORIGIN)
            assert "access-control-allow-origin" not in client.get("/studies", headers=token).headers
            page = client.get("/conformance", headers=token)
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert "ISOCENTER" in page.text
            assert client.get("", headers=token).headers["content-type"] == "application/vnd.sun.wadl+xml"
            assert client.post("/studies/1.2/reject/113001", headers=token).status_code == 403
