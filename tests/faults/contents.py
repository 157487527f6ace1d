"""What a server must hold after a fault: everything that it acknowledged, byte for byte, and nothing in halves."""

from isocenter.dicom.dataset import int_of, string_of
from senders import Book, query, retrieve
from servers import Server

SOP_INSTANCE, STUDY, SERIES = 0x00080018, 0x0020000D, 0x0020000E
INSTANCES_OF_STUDY = 0x00201208


def listed(port: int) -> dict[str, set[str]]:
    """Every study that C-FIND lists, with the SOP Instance UIDs that it lists at IMAGE level; the counts agree."""
    found: dict[str, set[str]] = {}
    for study in query(port, "STUDY", StudyInstanceUID="", NumberOfStudyRelatedInstances=""):
        study_uid = string_of(study, STUDY)
        instances: list[str] = []
        for series in query(port, "SERIES", StudyInstanceUID=study_uid, SeriesInstanceUID=""):
            series_uid = string_of(series, SERIES)
            images = query(port, "IMAGE", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid, SOPInstanceUID="")
            instances += (string_of(image, SOP_INSTANCE) for image in images)
        assert len(instances) == len(set(instances)), "an object is listed twice"
        assert int_of(study, INSTANCES_OF_STUDY) == len(instances)
        found[study_uid] = set(instances)
    return found


def check(server: Server, book: Book) -> int:
    """Everything acknowledged is found and comes back as it was sent; everything found is whole. How many were found
    that nobody acknowledged."""
    found = listed(server.dicom_port)
    everything = set().union(*found.values())
    assert book.acknowledged <= everything, _lost(book, everything)
    assert everything <= book.sent.keys(), "objects that nobody sent"
    for study, instances in found.items():
        digests = retrieve(server.dicom_port, study)
        assert digests.keys() == instances
        for instance, digest in digests.items():
            assert book.sent[instance][0] == study
            assert digest == book.sent[instance][2], f"{instance} came back with other bytes"
    return len(everything - book.acknowledged)


def _lost(book: Book, everything: set[str]) -> str:
    lost = sorted(book.acknowledged - everything)
    some = ", ".join(lost[:5])
    return f"{len(lost)} of {len(book.acknowledged)} acknowledged objects are lost: {some} ..."
