"""DELETE over HTTP."""

import httpx

from web_archive import Archive, image, send

STUDY = f"/studies/{image(1).StudyInstanceUID}"
SERIES = f"{STUDY}/series/{image(1).SeriesInstanceUID}"


def filled(opened: object, **settings: bool) -> tuple[httpx.Client, Archive]:
    client, archive = opened(**settings)  # type: ignore[operator]
    send(client, image(1), image(2), image(1, series="other"))
    return client, archive


def test_is_off_unless_it_is_allowed(opened: object) -> None:
    client, _ = filled(opened)
    answer = client.delete(STUDY)
    assert answer.status_code == 403
    assert len(client.get(f"{STUDY}/instances").json()) == 3


def test_takes_out_what_is_named(opened: object) -> None:
    client, archive = filled(opened, allow_delete=True)
    assert client.delete(f"{SERIES}/instances/{image(1).SOPInstanceUID}").status_code == 204
    assert len(client.get(f"{STUDY}/instances").json()) == 2
    assert client.delete(f"{SERIES}/instances/{image(1).SOPInstanceUID}").status_code == 404
    assert client.delete(SERIES).status_code == 204
    assert len(client.get(f"{STUDY}/series").json()) == 1
    assert client.delete(STUDY).status_code == 204
    assert client.get("/studies").json() == []
    assert client.get(STUDY).status_code == 404
    assert [record["kind"] for record in archive.store.journal()] == ["deletion"] * 3


def test_the_same_objects_may_come_again(opened: object) -> None:
    client, _ = filled(opened, allow_delete=True)
    assert client.delete(STUDY).status_code == 204
    send(client, image(1))
    assert len(client.get(f"{STUDY}/instances").json()) == 1
