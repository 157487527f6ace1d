"""AEs and peers that come and go while a server runs, and while it is stopped."""

import itertools
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archives import Destination, answered, keys, listening, made, sop_uid, study_uid
from isocenter import dimse
from isocenter.dicom import uids
from isocenter.dicom.dataset import encode
from isocenter.dicom.part10 import file_header
from isocenter.dimse import AssociationRejected, ClientAssociation, ProposedContext

Cli = Callable[..., Any]
CT = "1.2.840.10008.5.1.4.1.1.2"
MOVE = uids.STUDY_ROOT_MOVE
CONTEXTS = [
    ProposedContext(uids.VERIFICATION, (uids.EXPLICIT_LE,)),
    ProposedContext(CT, (uids.EXPLICIT_LE,)),
    ProposedContext(MOVE, (uids.EXPLICIT_LE,)),
]
STUDY = encode(keys("STUDY", StudyInstanceUID=study_uid()), uids.EXPLICIT_LE)


def call(server: Any, *, called: str = "ISOCENTER", calling: str = "TESTER") -> ClientAssociation:
    """An association with the server."""
    return dimse.connect(
        ("127.0.0.1", server.ports["dicom_port"]), calling=calling, called=called, contexts=CONTEXTS,
        settings=dimse.Settings(artim=60, dimse=60, response=60),
    )  # fmt: skip


def moved(association: ClientAssociation, destination: str = "DEST") -> int:
    """The final status of a C-MOVE of the study."""
    return list(association.move(MOVE, STUDY, destination))[-1].status


@pytest.mark.req("M-SEC-05", "M-MOVE-02", "I-MOVE-ST-08")
def test_a_peer_comes_and_goes_while_an_association_lives(
    start: Callable[..., Any], cli: Cli, url: tuple[str, ...]
) -> None:
    server = start(*url).ready()
    place = ("--data", str(server.data), *url)
    destination = Destination()
    with listening(destination), call(server) as lasting:
        assert answered(lasting, made(1)).status == 0
        assert moved(lasting) == 0xA801
        told = cli("peer", "add", f"DEST@127.0.0.1:{destination.port}", *place, "--json")
        assert json.loads(told.stdout)["version"] == 1
        # at once, on an association that was there before and on one that is new
        assert moved(lasting) == 0
        with call(server) as new:
            assert moved(new) == 0
        assert destination.uids == [sop_uid(1)] * 2
        listed = json.loads(cli("peer", "list", *place, "--json").stdout)
        assert [(peer["title"], peer["source"]) for peer in listed["peer"]] == [("DEST", "database")]
        cli("peer", "remove", "DEST", *place)
        _await(lambda: moved(lasting) == 0xA801)
        assert lasting.echo() == 0
    assert '"settings.reloaded"' not in server.output()


@pytest.mark.req("M-ARCH-06", "M-SEC-06")
def test_an_ae_comes_and_goes_while_associations_to_it_live(start: Callable[..., Any], cli: Cli) -> None:
    server = start().ready()
    place = ("--data", str(server.data))
    with pytest.raises(AssociationRejected):
        call(server, called="NEW")
    cli("ae", "add", "NEW", "duplicates=reject", *place)
    with call(server, called="NEW") as lasting:
        assert answered(lasting, made(1)).status == 0
        assert answered(lasting, made(1, PatientName="Other")).status == 0x0111
        cli("ae", "set", "NEW", "duplicates=keep-first", "services=store", *place)
        # what it began with holds for this one; the next ones have what was said
        _await(lambda: not _accepts(server, "NEW", MOVE))
        assert answered(lasting, made(1, PatientName="Third")).status == 0x0111
        # each of the processes that accept sees it by itself
        _await(lambda: _stores(server, "NEW", made(1, PatientName="Third")))
        cli("ae", "remove", "NEW", *place)
        _await(lambda: not _open(server, "NEW"))
        assert answered(lasting, made(1, PatientName="Fourth")).status == 0x0111


@pytest.mark.req("I-SEC-01", "I-SEC-03", "I-SEC-04", "I-CONF-03", "P-ASSOC-06")
def test_who_may_do_what_changes_while_an_association_lives(start: Callable[..., Any], cli: Cli) -> None:
    """From anybody to named classes and roles, and by an alias; the association that is there goes on as it began."""
    server = start(ISOCENTER_PROCESSES__DICOM="1").ready()  # or another process would have to see it first
    place = ("--data", str(server.data))
    with call(server) as lasting:
        cli("ae", "set", "ISOCENTER", "policy=named-classes", *place)
        _await(lambda: not _open(server, "ISOCENTER"))
        cli("peer", "add", "TESTER@127.0.0.1", f"sop_classes={CT}:scu", "aliases=OLD_TESTER,OLDER", *place)
        for calling in ("TESTER", "OLD_TESTER", "OLDER"):
            with call(server, calling=calling) as new:
                assert {context.abstract for context in new.contexts.values()} == {CT, uids.VERIFICATION}
        cli("peer", "set", "TESTER", "--unset", "aliases", f"sop_classes={CT}:scp,{MOVE}", *place)
        _await(lambda: _accepts(server, "ISOCENTER", MOVE))
        with call(server) as new:
            assert {context.abstract for context in new.contexts.values()} == {MOVE, uids.VERIFICATION}
        with pytest.raises(AssociationRejected):
            call(server, calling="OLDER")
        assert answered(lasting, made(1)).status == 0
        assert list(lasting.move(MOVE, STUDY, "NOBODY"))[-1].status == 0xA801
    done = cli("peer", "set", "TESTER", "sop_classes=CT", *place, check=False)
    assert done.returncode == 2
    assert "peer.sop_classes" in done.stderr


@pytest.mark.req("I-CONF-05")
def test_a_preset_and_its_values_may_change_while_an_association_lives(start: Callable[..., Any], cli: Cli) -> None:
    server = start().ready()
    place = ("--data", str(server.data))
    cli("ae", "add", "PACS", "preset=pacs", "policy=open", *place)
    with call(server, called="PACS") as lasting:
        assert lasting.peer_max_pdu == 16384
        cli("ae", "set", "PACS", "max_pdu=32768", *place)
        _await(lambda: _announced(server, "PACS") == 32768)
        assert lasting.echo() == 0
    shown = json.loads(cli("ae", "show", "PACS", *place, "--json").stdout)[0]
    assert (shown["max_pdu"], shown["response"], shown["duplicates"]) == (32768, 600, "keep-first-supplement")
    cli("ae", "set", "PACS", "preset=viewer", "--unset", "max_pdu", *place)
    _await(lambda: _announced(server, "PACS") == 16384 and not _accepts(server, "PACS", MOVE))
    assert 'policy = "open"\n' in cli("ae", "show", "PACS", *place).stdout
    assert "max_pdu = 16384  (preset)" in cli("ae", "show", "PACS", *place).stdout


@pytest.mark.req("M-ASSOC-08", "I-SEC-03")
def test_a_stopped_server_finds_what_was_stored_meanwhile(start: Callable[..., Any], cli: Cli, tmp_path: Path) -> None:
    server = start(ISOCENTER_DICOM_POLICY="known-peers").ready()
    with pytest.raises(AssociationRejected):
        call(server)
    assert server.stop() == 0
    cli("peer", "add", "TESTER", "allow=store", "--data", str(server.data))
    again = start(data=server.data, ISOCENTER_DICOM_POLICY="known-peers").ready()
    assert "1 known peers" in again.output()
    with call(again) as association:
        assert answered(association, made(1)).status == 0
        assert {context.abstract for context in association.contexts.values()} == {CT, uids.VERIFICATION}
    assert again.stop(signal.SIGTERM) == 0


@pytest.mark.req("I-CONF-02", "I-CONF-04", "M-SEC-05", "M-ARCH-06", "P-CFG-01")
def test_what_was_stored_outlives_the_index(start: Callable[..., Any], cli: Cli) -> None:
    """Changed with a running server and with a stopped one; then the index is lost, and made anew by a command."""
    server = start().ready()
    place = ("--data", str(server.data))
    cli("ae", "add", "CACHE", *place)
    cli("peer", "add", "WS@10.0.0.7:104", *place)
    assert server.stop() == 0
    cli("peer", "set", "WS", "allow=store", *place)
    cli("peer", "add", "GONE", *place)
    cli("peer", "remove", "GONE", *place)
    before = [json.loads(cli(kind, "list", *place, "--json").stdout) for kind in ("ae", "peer")]
    assert [peer["title"] for peer in before[1]["peer"]] == ["WS"]
    for ending in ("", "-wal", "-shm"):
        (server.data / f"index.db{ending}").unlink(missing_ok=True)
    cli("index", "rebuild", *place)
    assert [json.loads(cli(kind, "list", *place, "--json").stdout) for kind in ("ae", "peer")] == before
    with call(start(data=server.data).ready(), called="CACHE") as association:
        assert association.echo() == 0


def test_the_web_side_goes_by_what_is_stored_of_the_default_ae(start: Callable[..., Any], cli: Cli) -> None:
    """Its character set is assumed where an object has none: as it is filed, and as its header is answered."""
    import httpx

    name = "Люксембург"
    studies = itertools.count(1)
    server = start().ready()

    def names() -> list[str]:
        """A new study over STOW-RS, as a search and its metadata tell of it."""
        study = next(studies)
        one = made(1, study=study, PatientName="OF LENGTH10")
        data = one.data.replace(b"OF LENGTH10 ", name.encode("iso8859-5") + b"  ")
        file = file_header(one.sop_class, one.sop_uid, one.syntax) + data
        root = f"{server.url}/dicom-web/studies"
        assert httpx.post(root, content=file, headers={"Content-Type": "application/dicom"}).status_code == 200
        found = httpx.get(root, params={"StudyInstanceUID": study_uid(study)}).json()
        found += httpx.get(f"{root}/{study_uid(study)}/metadata").json()
        return [each["00100010"]["Value"][0]["Alphabetic"].rstrip() for each in found]

    assert name not in names()
    cli("ae", "set", "ISOCENTER", "character_set=ISO_IR 144", "--data", str(server.data))
    _await(lambda: names() == [name] * 2)


def test_the_start_page_names_an_ae_that_came_later(server: Any, cli: Cli) -> None:
    import httpx

    cli("ae", "add", "LATER", "--data", str(server.data))
    _await(lambda: "<code>LATER</code>" in httpx.get(server.url).text)
    cli("ae", "remove", "LATER", "--data", str(server.data))


def _announced(server: Any, called: str) -> int:
    with call(server, called=called) as association:
        return association.peer_max_pdu


def _stores(server: Any, called: str, data: Any) -> bool:
    with call(server, called=called) as association:
        return bool(answered(association, data).status == 0)


def _accepts(server: Any, called: str, abstract: str) -> bool:
    with call(server, called=called) as association:
        return any(context.abstract == abstract for context in association.contexts.values())


def _open(server: Any, called: str) -> bool:
    try:
        with call(server, called=called):
            return True
    except AssociationRejected:
        return False


def _await(what: Callable[[], bool]) -> None:
    from servers import until

    until(what)
