"""A PDF becomes an Encapsulated PDF object, with every attribute that the catalogue lists (I-PDF)."""

import csv
import json
import re
from typing import Any

import httpx
import pytest

from isocenter.archive.validation.iod import required_attributes
from isocenter.archive.validation.levels import Incoming
from isocenter.dicom.part10 import read_header
from isocenter.dicom.scan import scan
from isocenter.index.keys import INDEXED
from material import REQUIREMENTS
from web_archive import Archive

PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
UIDS = {"0020000D": "1.2.826.0.1.3680043.10.999.81", "0020000E": "1.2.826.0.1.3680043.10.999.81.1"}
OBJECT = "1.2.826.0.1.3680043.10.999.81.1.1"
VALUES = {"PN": "ROE^RICHARD", "LO": "TEXT", "SH": "S1", "DA": "20240131", "TM": "103000", "DT": "20240131103000",
          "CS": "DOC", "AS": "041Y", "DS": 1.5, "IS": 3, "ST": "TEXT"}  # fmt: skip


def listed() -> list[tuple[list[str], str, str]]:
    """Tags from the outside in, VR and the value that the catalogue asks for ('' for any)."""
    with (REQUIREMENTS / "iconnect_attributes.csv").open(encoding="utf-8") as file:
        rows = [list(row.values()) for row in csv.DictReader(file)]
    found = []
    for row in rows:
        if row[1].startswith("Encapsulated PDF:") and "not sent" not in row[4]:
            tags = [part.replace(",", "") for part in re.findall(r"\(([0-9A-F]{4},[0-9A-F]{4})\)", row[2])]
            vr = re.search(r"VR (\w\w)", row[5])
            assert tags
            assert vr
            found.append((tags, vr[1], row[4].partition("value ")[2]))
    return found


def described() -> dict[str, Any]:
    """The metadata, each attribute with the catalogue's value or one of its VR."""
    model: dict[str, Any] = {}
    for (*around, tag), vr, value in listed():
        within = model
        for outer in around:
            within = within[outer]["Value"][0]
        if vr == "SQ":
            within[tag] = {"vr": vr, "Value": [{}]}
        elif vr == "OB":
            within[tag] = {"vr": vr, "BulkDataURI": "document"}
        else:
            given = UIDS.get(tag) or (OBJECT if tag == "00080018" else value or VALUES.get(vr))
            within[tag] = {"vr": vr, "Value": [{"Alphabetic": given} if vr == "PN" else given]}
    model["00100040"]["Value"] = ["O"]
    return model


@pytest.mark.req("I-PDF-01", "I-PDF-02", "I-PDF-03")
def test_a_pdf_with_its_metadata_becomes_an_object(web: tuple[httpx.Client, Archive]) -> None:
    client, _ = web
    model = described()
    assert len(listed()) >= 43
    told = json.dumps([model]).encode()
    body = (
        b"--B\r\nContent-Type: application/dicom+json\r\n\r\n" + told + b"\r\n--B\r\nContent-Type: application/pdf\r\n"
    )
    body += b"Content-Location: document\r\n\r\n" + PDF + b"\r\n--B--\r\n"
    kind = 'multipart/related; type="application/dicom+json"; boundary=B'
    answer = client.post("/studies", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 200, answer.text
    where = f"/studies/{UIDS['0020000D']}/series/{UIDS['0020000E']}/instances/{OBJECT}"
    (kept,) = client.get(f"{where}/metadata").json()
    for tag, member in model.items():
        assert kept[tag]["vr"] == member["vr"]
        assert "BulkDataURI" in member or kept[tag].get("Value") == member["Value"], tag
    document = client.get(f"{where}/rendered")
    assert (document.headers["content-type"], document.content.rstrip(b"\0")) == ("application/pdf", PDF.rstrip(b"\0"))
    file = client.get(where, headers={"Accept": "application/dicom"}).content
    header = read_header(file)
    data = file[header.offset :]
    found = scan(data, header.syntax, INDEXED)
    assert required_attributes(Incoming(found, lambda n, at: data[at : at + n], len(data))) == []
