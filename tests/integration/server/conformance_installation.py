"""A server with three AEs, the statement of its settings, and objects in it, for the tests of that statement."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from archives import MR, Destination, Object, answered, listening, sop_uid
from find_samples import complete, encoded
from isocenter import config, dimse
from isocenter.conformance.building import statement
from isocenter.conformance.model import Statement
from isocenter.dicom import uids
from isocenter.dimse import ClientAssociation, ProposedContext
from servers import Server

NATIVE = uids.EXPLICIT_LE
WIDE, NARROW, STRICT = "ISOCENTER", "NARROW", "STRICT"
FILE = """\
[[ae]]
title = "ISOCENTER"

[[ae]]
title = "NARROW"
storage = "declared"
services = ["store", "find", "move"]
syntaxes = ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2"]
relational = false
duplicates = "new-uid"
responses = {{ study = 1, patient = 1 }}

[[ae]]
title = "STRICT"
storage = "none"
classes = ["1.2.826.0.1.3680043.10.999.77", "1.2.840.10008.5.1.4.1.1.2"]
services = ["store", "get"]
sop_classes = ["1.2.826.0.1.3680043.10.999.77:scu", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.2.2.3"]
duplicates = "reject"
validation = "minimal"

[[peer]]
title = "DEST"
host = "127.0.0.1"
port = {port}

[[peer]]
title = "GONE"
host = "127.0.0.1"
port = 1
"""


class Installation(NamedTuple):
    """A server, the statement of its settings, and a destination for what it sends."""

    server: Server
    statement: Statement
    destination: Destination

    def connect(self, called: str, *contexts: ProposedContext) -> ClientAssociation:
        """An association with one of its AEs."""
        return dimse.connect(
            ("127.0.0.1", self.server.dicom_port), calling="TESTER", called=called, contexts=contexts,
            settings=dimse.Settings(connect=60, response=60, dimse=60, artim=60),
        )  # fmt: skip


SEED, OTHER = 21, 22
"""Of the two objects."""


@contextmanager
def installed(folder: Path) -> Iterator[Installation]:
    """The server, with two patients in it, each with one object that has a value for every key."""
    data = folder / "data"
    data.mkdir()
    destination = Destination(statuses={sop_uid(2): 0xA700})
    with listening(destination):
        (data / "isocenter.toml").write_text(FILE.format(port=destination.port))
        own = statement(config.load(overrides={"data": str(data)}, environment={}), date="2026-01-31")
        with Server(data) as server:
            installation = Installation(server, own, destination)
            with installation.connect(WIDE, ProposedContext(MR, (NATIVE,))) as association:
                assert [answered(association, _object(seed)).status for seed in (SEED, OTHER)] == [0, 0]
            yield installation


def _object(seed: int) -> Object:
    one = complete(seed)
    one.SOPClassUID = MR
    return Object(
        MR, str(one.SOPInstanceUID), NATIVE, encoded(one), str(one.StudyInstanceUID), str(one.SeriesInstanceUID)
    )
