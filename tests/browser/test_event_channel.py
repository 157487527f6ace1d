"""An event channel of the unified worklist in a real browser, which can't set a header on a WebSocket: by a ticket,
from a page of another origin."""

import json
from pathlib import Path

from browser.browsing import browser, pages, run
from servers import Server
from workitem_models import asked

pytestmark = browser

TOKEN = "a token of the tests"


def test_a_page_hears_of_workitems(tmp_path: Path) -> None:
    blank = {"/": ("text/html", b"<!doctype html><title>blank</title>")}
    with pages(tmp_path, blank) as page:
        settings = {"http__token": TOKEN, "http__open": False, "http__origins": json.dumps([page])}
        with Server(tmp_path / "data", settings=settings) as server:
            said = run(
                "channel.mjs",
                {
                    "page": page,
                    "root": f"{server.url}/dicom-web",
                    "aet": "VIEWER",
                    "token": TOKEN,
                    "create": ["/workitems?2.25.1", json.dumps(asked())],
                },
            )
    assert said["answers"] == [201, 201, 201]
    assert said["protocol"] == "isocenter.events"
    assert json.loads(said["heard"])["00001000"]["Value"] == ["2.25.1"]
    assert said["again"] == 1006, "refused at the handshake"
