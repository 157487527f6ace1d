"""Keys as typed, identifiers made of them, and what is read from answers and files."""

from pathlib import Path

import pytest

from isocenter.cli import files
from isocenter.cli.identifiers import Asked, columns, heading, shown
from isocenter.cli.installed import Installation
from isocenter.cli.peering import named
from isocenter.cli.retrieving import storage_contexts
from isocenter.dicom import dataset
from isocenter.dicom.dataset import string_of
from isocenter.dicom.uids import EXPLICIT_LE
from isocenter.errors import ConfigurationError
from material import packaged_files


def test_keys_by_keyword_tag_and_path() -> None:
    asked = Asked.of(
        ["PatientID=1", "0008,0060=CT", "RequestAttributesSequence.ScheduledProcedureStepID=7", "StudyDate"],
        "series",
        "study",
    )
    identifier = asked.identifier(returned=("Modality", "SeriesNumber"))
    assert string_of(identifier, 0x00080052) == "SERIES"
    assert string_of(identifier, 0x00100020) == "1"
    assert string_of(identifier, 0x00080060) == "CT"
    assert string_of(identifier, 0x00080020) == ""
    assert string_of(dataset.items_of(identifier, 0x00400275)[0], 0x00400009) == "7"
    assert 0x00200011 in identifier
    assert string_of(identifier, 0x00080005) == "ISO_IR 192"
    assert 0x00080005 not in asked.identifier()
    decoded = dataset.decode(dataset.encode(identifier, EXPLICIT_LE), EXPLICIT_LE)
    assert shown(decoded, (0x00400275, 0x00400009)) == "7"


def test_text_beyond_ascii_goes_as_utf_8() -> None:
    identifier = Asked.of(["PatientName=Müller*"], "study", "study").identifier()
    assert string_of(identifier, 0x00080005) == "ISO_IR 192"
    assert dataset.bytes_of(identifier, 0x00100010) == "Müller*".encode()
    assert shown(identifier, (0x00100010,)) == "Müller*"


@pytest.mark.parametrize(
    ("keys", "level", "model", "word"),
    [
        (["Nonsense=1"], "study", "study", "Nonsense"),
        ([], "studies", "study", "--level"),
        ([], "study", "root", "--model"),
    ],
)
def test_what_is_wrong_is_named(keys: list[str], level: str, model: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        Asked.of(keys, level, model)


def test_columns_are_given_keys_first() -> None:
    paths = columns(Asked.of(["PatientSex", "PatientID=1"], "study", "study"))
    assert [heading(path) for path in paths[:3]] == ["PatientSex", "PatientID", "StudyDate"]


def test_peers_by_address_title_and_own_ae(tmp_path: Path) -> None:
    file = tmp_path / "isocenter.toml"
    file.write_text("dicom_port = 4242\n[[peer]]\ntitle = 'PACS'\nhost = 'h'\nport = 105\ncalled_as = 'US'\n")
    settings = Installation(file).settings()
    written = named("MY PACS@[::1]:104", settings, "ME")
    assert (written.peer.title, written.peer.host, written.peer.port) == ("MY PACS", "::1", 104)
    assert named("A@host", settings, "ME").peer.port == 11112
    known = named("PACS", settings, "ME")
    assert (known.peer.host, known.peer.port, known.calling) == ("h", 105, "US")
    assert named("ISOCENTER", Installation(file, tmp_path).settings(), "ME").peer.port == 4242
    for wrong in ("NOBODY", "A@h:99999", "A" * 17 + "@h"):
        with pytest.raises(ConfigurationError):
            named(wrong, settings, "ME")


def test_contexts_to_receive_on_stay_within_the_limit() -> None:
    contexts = storage_contexts([f"1.2.{i}" for i in range(100)])
    assert len(contexts) == 127
    assert all(context.scp and not context.scu for context in contexts)
    assert {context.abstract for context in contexts} == {f"1.2.{i}" for i in range(100)}


def test_files_are_known_by_their_data_set(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    found = {path.name: path for path in packaged_files()}
    whole = files.read(found["CT_small.dcm"])
    expected = pydicom.dcmread(found["CT_small.dcm"])
    assert whole is not None
    assert (whole.sop_class, whole.sop_uid) == (expected.SOPClassUID, expected.SOPInstanceUID)
    assert whole.offset + whole.size == found["CT_small.dcm"].stat().st_size
    bare = tmp_path / "bare"
    bare.write_bytes(found["CT_small.dcm"].read_bytes()[whole.offset :])
    read = files.read(bare)
    assert read is not None
    assert (read.sop_uid, read.syntax, read.offset) == (whole.sop_uid, EXPLICIT_LE, 0)
    note = tmp_path / "note.txt"
    note.write_text("no DICOM at all, however long it may be")
    assert files.read(note) is None


def test_folders_are_walked_in_order(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a/3", "c"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert [str(path.relative_to(tmp_path)) for path in files.walk([tmp_path])] == ["c", "a/3", "b/1", "b/2"]
