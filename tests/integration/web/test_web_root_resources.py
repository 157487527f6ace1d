"""Capabilities, conformance, rejection, cross-origin requests."""

import json
from collections.abc import Callable
from xml.etree import ElementTree

import httpx
import pytest

from isocenter.config import Settings
from isocenter.conformance.building import statement
from isocenter.conformance.configuring import interfaces
from isocenter.conformance.model import Paragraph, Product, Section, Statement, Table
from isocenter.web import create_app
from isocenter.web.cors import CrossOrigin
from isocenter.web.dicomweb.service import described
from web_archive import Archive, image, send

Web = tuple[httpx.Client, Archive]
_WADL = "{http://wadl.dev.java.net/2009/02}"
ORIGIN = "https://viewer.example.org"


@pytest.mark.req("I-WEB-04")
@pytest.mark.parametrize(("method", "query"), [("GET", "?_wadl"), ("OPTIONS", ""), ("GET", "")])
def test_the_service_is_described(web: Web, method: str, query: str) -> None:
    client, archive = web
    answer = client.request(method, f"/{query}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/vnd.sun.wadl+xml"
    root = ElementTree.fromstring(answer.content)
    resources, beside = root.iter(f"{_WADL}resources")
    assert resources.get("base") == f"{archive.root}/"
    assert beside.get("base") == archive.root.removesuffix("dicom-web")
    paths = {one.get("path") for one in root.iter(f"{_WADL}resource")}
    one = "studies/{study}/series/{series}/instances/{instance}"
    assert {"studies", f"{one}/frames/{{frames}}", f"{one}/rendered", f"{one}/thumbnail"} <= paths
    assert {"commitment-requests/{transaction}", "color-palettes/{uid}", "wado", "wado-ws"} <= paths


def test_every_described_resource_is_there(web: Web) -> None:
    client, _ = web
    answer = client.get("/", headers={"Accept": "application/json"})
    for path, item in answer.json()["paths"].items():
        names = {"study": "1.2", "series": "1.3", "instance": "1.4", "uid": "1.5", "transaction": "1.6"}
        names |= {"workitem": "1.7", "aetitle": "VIEWER"}
        where = path.format(frames="1", bulk="00091010", code="113001^DCM", **names)
        methods = {method.upper() for method in item if method not in ("parameters", "servers")}
        if "servers" in item:
            where = item["servers"][0]["url"] + path
        if path != "/":
            allowed = set(client.options(where).headers["allow"].split(", ")) - {"HEAD", "OPTIONS"}
            assert allowed == methods, path
    assert client.put("/").headers["allow"] == "GET, HEAD, OPTIONS"
    assert client.get("/", headers={"Accept": "image/png"}).status_code == 406
    assert client.get("/?_wadl", headers={"Accept": "image/png"}).status_code == 200


def test_the_conformance_statement(web: Web) -> None:
    client, archive = web
    assert client.get("/conformance").status_code == 404
    object.__setattr__(archive.context, "statement", lambda: statement(Settings(), date="2026-01-31"))
    page = client.get("/conformance")
    assert page.headers["content-type"].startswith("text/html")
    assert "2026-01-31" in page.text
    assert client.get("/", headers={"Accept": "text/html,*/*;q=0.8"}).text == page.text
    assert client.get("/?_wadl", headers={"Accept": "text/html"}).headers["content-type"].endswith("wadl+xml")
    text = client.get("/conformance", headers={"Accept": "text/markdown"})
    assert text.text.startswith("#")
    assert client.get("/conformance", headers={"Accept": "image/png"}).status_code == 406


def test_the_conformance_statement_is_printed_by_a_process_of_its_own(web: Web) -> None:
    client, archive = web
    sections = (Section("Services", (Paragraph("none"), *interfaces(Settings(), described()).sections[-1].blocks)),)
    made = Statement(Product("Isocenter", "1", "", "", "2026-01-31"), sections)
    object.__setattr__(archive.context, "statement", lambda: made)
    answer = client.get("/conformance", headers={"Accept": "application/pdf"})
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")


def test_the_statement_lists_what_the_capabilities_list(web: Web) -> None:
    client, _ = web
    made = statement(Settings(), date="2026-01-31", web=described())
    (section,) = [section for _, section in made.numbered() if section.title == "Web Services"]
    (table,) = [block for block in section.blocks if isinstance(block, Table)]
    listed = {(row["Resource"], row["Method"].lower()) for row in table.records()}
    paths = client.get("/", headers={"Accept": "application/json"}).json()["paths"]
    beside = ("/wado", "/wado-ws")
    told = {
        (path if path in beside else f"/dicom-web{path}", method)
        for path, item in paths.items()
        for method in item
        if method not in ("parameters", "servers")
    }
    assert listed == told


def test_rejection(opened: Callable[..., Web]) -> None:
    client, _ = opened(allow_reject=True)
    objects = [image(1), image(2), image(3, series="other")]
    send(client, *objects)
    study = f"/studies/{objects[0].StudyInstanceUID}"
    first = f"{study}/series/{objects[0].SeriesInstanceUID}"
    answer = client.post(f"{first}/instances/{objects[0].SOPInstanceUID}/reject/113001^DCM?reason=" + "ünscharf " * 300)
    assert answer.status_code == 200, answer.text
    assert answer.json()["count"] == 1
    assert len(client.get(f"{study}/instances").json()) == 2
    assert client.post(f"{first}/reject/113039%5EDCM").json()["count"] == 1
    assert client.post(f"{first}/reject/113039^DCM").status_code == 404
    assert client.post(f"{study}/reject/113037").json()["count"] == 1
    assert client.get("/studies").json() == []
    assert client.post(f"{study}/reject/121181^DCM").status_code == 400
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    assert client.post(f"{study}/reject/113001^DCM", headers=elsewhere).status_code == 403
    assert client.post("/studies/1.2/reject/113001^DCM").status_code == 404


def test_rejection_is_off_unless_it_is_allowed(web: Web) -> None:
    client, _ = web
    send(client, image(1))
    assert client.post(f"/studies/{image(1).StudyInstanceUID}/reject/113001^DCM").status_code == 403


@pytest.mark.parametrize(
    ("origins", "told"), [([ORIGIN], ORIGIN), ([f"{ORIGIN}/"], ORIGIN), (["*"], "*"), (["https://other.org"], None)]
)
def test_pages_of_other_origins(web: Web, origins: list[str], told: str | None) -> None:
    _, archive = web
    app = CrossOrigin(create_app(archive.context), origins)
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "accept, x-y"}

    async def both() -> tuple[httpx.Response, httpx.Response, httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://archive") as client:
            plain = await client.get("/dicom-web/")
            return (
                await client.options("/dicom-web/studies", headers=asked),
                await client.get("/dicom-web/", headers={"Origin": ORIGIN}),
                plain,
            )

    import asyncio

    preflight, answer, plain = asyncio.run(both())
    assert answer.headers.get("access-control-allow-origin") == told
    assert "access-control-allow-origin" not in plain.headers
    assert {each.headers["cross-origin-resource-policy"] for each in (answer, plain)} == {"cross-origin"}
    assert preflight.headers.get("access-control-allow-origin") == told
    if told:
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-headers"] == "accept, x-y"
        assert "X-Total-Count" in answer.headers["access-control-expose-headers"]


def test_openapi_is_json(web: Web) -> None:
    client, archive = web
    answer = client.get("/", headers={"Accept": "application/vnd.oai.openapi+json"})
    found = json.loads(answer.content)
    assert found["openapi"].startswith("3.0")
    assert found["servers"] == [{"url": archive.root}]
    assert "post" in found["paths"]["/studies"]
