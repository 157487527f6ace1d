"""Basic Study Content Notification (retired): the Basic Study Descriptor that is stored on those who are told (I-BSCN).

It names a study and its images, with the AE that they can be retrieved from: SOP Common, Patient Summary and Study
Content of the editions of PS3.3 that had it.
"""

from typing import Final

from isocenter.dicom import dataset
from isocenter.dicom.dataset import DataSet, Element
from isocenter.dicom.uids import BASIC_STUDY_CONTENT_NOTIFICATION
from isocenter.workflow.notices.contents import Item, SeriesContent, StudyContent

UTF_8: Final = "ISO_IR 192"


def encoded(content: StudyContent, sop_uid: str, retrieve: str, syntax: str, character_set: str = "") -> bytes:
    """The data set of one notification. `character_set` is the one that its text is to be in, else UTF-8 where it is
    not ASCII."""
    return dataset.encode(_made(content, sop_uid, retrieve, character_set or UTF_8), syntax)


def _made(content: StudyContent, sop_uid: str, retrieve: str, character_set: str) -> DataSet:
    texts = {
        0x00100010: ("PN", content.patient_name),
        0x00100020: ("LO", content.patient_id),
        0x00200010: ("SH", content.study_id),
    }
    plain = all(value.isascii() for _, value in texts.values())
    terms = tuple(character_set.split("\\"))
    return {
        **({} if plain else {0x00080005: dataset.text("CS", character_set)}),
        0x00080016: dataset.uid(BASIC_STUDY_CONTENT_NOTIFICATION),
        0x00080018: dataset.uid(sop_uid),
        0x00081115: dataset.sequence(*(_series(each, retrieve) for each in content.series)),
        **{tag: dataset.text(vr, value, terms) for tag, (vr, value) in texts.items()},
        0x0020000D: dataset.uid(content.study_uid),
    }


def _series(content: SeriesContent, retrieve: str) -> DataSet:
    return {
        0x00080054: _title(retrieve),
        0x00081140: dataset.sequence(*map(_image, content.items)),
        0x0020000E: dataset.uid(content.series_uid),
    }


def _image(item: Item) -> DataSet:
    return {0x00081150: dataset.uid(item.sop_class), 0x00081155: dataset.uid(item.sop_uid)}


def _title(title: str) -> Element:
    return dataset.text("AE", title)
