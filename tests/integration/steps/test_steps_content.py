"""What was performed, as a person and another program are told it: over HTTP and by `isocenter mpps show`."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

import httpx
import pytest
from typer.testing import CliRunner

import archives
from archives import ROOT, Running
from databases import migrated
from isocenter.cli.app import app
from isocenter.config import HostedAE
from isocenter.dicom.dictionary import tag_of, vr_of
from isocenter.web.lanes import Lane
from isocenter.web.workflow_api.service import WorkflowApi
from isocenter.web.workflow_api.steps import MOUNT, PerformedSteps
from isocenter.workflow.steps.content import content
from procedure_steps import begun, ended, message, of_order, report, rows
from steps_worklist import scheduled

_TOP = ("Fluoroscopy", "Exposures", "Distance", "Dose", "ExposedArea")
_IN = ("ExposureDose", "BillingProcedure", "FilmConsumption", "BillingSupplies", "PerformedProtocolCode")


class Row(NamedTuple):
    """An attribute of the catalogue, and the value that it has here."""

    path: str
    value: str


def _rows() -> list[Row]:
    """What annex C says of dose, films, supplies, charges, protocol and operator."""
    paths = [
        ">".join(filter(None, (row["parent_path"], row["keyword"])))
        for row in rows("ps32_attributes")
        if (row["annex"], row["ae"]) == ("C", "DICOMSRV") and row["object"].startswith("MPPS")
    ]
    wanted = [
        path
        for path in paths
        if path.startswith(_IN)
        or path == "PerformedSeriesSequence>OperatorsName"
        or (">" not in path and any(word in path for word in _TOP))
    ]
    leaves = [path for path in wanted if not any(other.startswith(f"{path}>") for other in wanted)]
    return [Row(path, _value(path, n)) for n, path in enumerate(leaves, 11)]


def _value(path: str, n: int) -> str:
    vr = vr_of(tag_of(path.rpartition(">")[2]) or 0)
    if vr in ("US", "IS", "DS"):
        return str(n)
    return f"1.2.3.{n}" if vr == "UI" else f"V{n}"


ROWS = _rows()


def _leaves(told: Any) -> set[str]:
    if isinstance(told, Mapping):
        return {leaf for each in told.values() for leaf in _leaves(each)}
    if isinstance(told, list):
        return {leaf for each in told for leaf in _leaves(each)}
    return {str(told)}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("content")
    with archives.running(folder, migrated(folder)) as running:
        values: dict[str, str | int | None] = {
            row.path: int(row.value) if vr_of(tag_of(row.path.rpartition(">")[2]) or 0) == "US" else row.value
            for row in ROWS
        }
        told = message({**values, "PerformedProcedureStepStatus": "COMPLETED"})
        assert report(running, f"{ROOT}.1", begun(), {**ended(), **told}) == [0, 0]
        yield running


class Web:
    """A client of the resources."""

    def __init__(self, served: WorkflowApi) -> None:
        self._transport = httpx.ASGITransport(served)  # type: ignore[arg-type]

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """One request."""
        return asyncio.run(self._asked(method, path, body))

    async def _asked(self, method: str, path: str, body: Any) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport, base_url="http://archive") as client:
            return await client.request(method, f"{MOUNT}{path}", json=body)

    def get(self, path: str) -> httpx.Response:
        """A resource below the mount."""
        return self.ask("GET", path)

    def post(self, path: str, body: Any) -> httpx.Response:
        """Send JSON there."""
        return self.ask("POST", path, body)


@pytest.fixture(scope="module")
def web(archive: Running) -> Iterator[Web]:
    resources = PerformedSteps(archive.database, lambda title: HostedAE(title=title)).resources
    with closing(Lane("steps", 1, 8)) as lane:
        yield Web(WorkflowApi(lane, MOUNT, resources))


@pytest.fixture(scope="module")
def shown(web: Web) -> dict[str, Any]:
    """The step over HTTP."""
    (one,) = web.get("?state=COMPLETED&station=CT1").json()["steps"]
    found: dict[str, Any] = web.get(f"/{one['id']}").json()
    return found


@pytest.fixture(scope="module")
def printed(archive: Running, shown: dict[str, Any]) -> str:
    """The step by the command, without its attributes."""
    done = CliRunner().invoke(app, ["mpps", "show", str(shown["id"]), "--data", str(archive.settings.data)])
    assert done.exit_code == 0
    return done.stdout.partition("{\n")[0]


@pytest.mark.req("X-RIS-36")
@pytest.mark.parametrize("row", [pytest.param(row, id=row.path) for row in ROWS])
def test_an_attribute_is_told(shown: dict[str, Any], printed: str, row: Row) -> None:
    assert row.value in _leaves(shown["performed"])
    assert row.value in printed


def test_the_rows_were_read() -> None:
    assert len(ROWS) >= 24


@pytest.mark.req("X-RIS-36")
def test_a_supply_is_told_with_its_scheme_quantity_and_unit() -> None:
    """Whether a code is one of the department's own is for whoever keeps its supplies."""
    from isocenter.dicom import dataset, uids
    from isocenter.workflow.steps.checking import read

    sent = message({
        "BillingSuppliesAndDevicesSequence>BillingItemSequence>CodeValue": "CATH5",
        "BillingSuppliesAndDevicesSequence>BillingItemSequence>CodingSchemeDesignator": "DICOMRIS_SUPPLY",
        "BillingSuppliesAndDevicesSequence>BillingItemSequence>CodeMeaning": "Catheter",
        "BillingSuppliesAndDevicesSequence>QuantitySequence>Quantity": "2",
    })  # fmt: skip
    told = content(read(dataset.encode(sent, uids.EXPLICIT_LE), uids.EXPLICIT_LE).model)
    catheter = {"value": "CATH5", "scheme": "DICOMRIS_SUPPLY", "meaning": "Catheter"}
    assert told == {"supplies": [{"item": catheter, "quantity": "2", "unit": {}}]}


def test_a_step_that_says_nothing_of_it_has_none_of_it() -> None:
    assert content({}) == {}


@pytest.mark.req("X-RIS-32")
def test_an_exception_is_seen_and_settled_over_http(archive: Running, web: Web) -> None:
    entry = scheduled(archive, "A7", "S7")
    for uid in (f"{ROOT}.2", f"{ROOT}.3"):
        assert report(archive, uid, begun(**of_order("NOSUCH", "S1"))) == [0]
    waiting = web.get("?matching=unmatched").json()["steps"]
    second, first = (one["id"] for one in waiting)
    assert web.get(f"?matching=unmatched&before={second}").json()["steps"] == [waiting[1]]
    done = web.post(f"/{first}/resolve", {"entries": [entry.id]})
    assert (done.status_code, done.json()["matching"]) == (200, "resolved")
    done = web.post(f"/{second}/accept", {})
    assert (done.status_code, done.json()["matching"]) == (200, "accepted")
    assert web.get("?matching=unmatched").json() == {"steps": []}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/999", None, 404),
        ("/x", None, 404),
        ("?limit=x", None, 400),
        ("/1/resolve", {"entries": "1"}, 400),
        ("/1/resolve", {"entries": [True]}, 400),
        ("/999/resolve", {"entries": [1]}, 404),
        ("/1/accept", {}, 404),
    ],
)
def test_what_can_not_be_asked_is_a_problem(web: Web, path: str, body: Any, status: int) -> None:
    answer = web.get(path) if body is None else web.post(path, body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
