"""The presets: whose habits an AE follows, and which settings of an AE that gives.

Each is named after what it imitates: `archive` the vendor-neutral archive of I-*, `pacs` and `viewer` the two AEs of
M-*, `technologist` the workflow of I-TWF, `bridge` the AEs of P-*, `import` the client of S-*, the others the sample
products of PS3.2 (X-MOD, X-VIEW, X-QR, and `ris` X-RIS). `FIELDS` is laid under what is said of an AE; tables elsewhere
(statuses, orders of transfer syntaxes) have an entry for each preset. The product's identity, titles and ports are ours
or the site's and in no preset.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, get_args

Preset = Literal[
    "default",
    "archive",
    "pacs",
    "viewer",
    "workstation",
    "query-server",
    "storage-server",
    "bridge",
    "modality",
    "import",
    "ris",
    "technologist",
]
PRESETS: Final[tuple[Preset, ...]] = get_args(Preset)
RENAMED: Final = MappingProxyType({"marie": "pacs"})
"""What a preset was called before."""


class Given(NamedTuple):
    """The value of a setting of an AE, and where the source says so."""

    value: Any
    source: str


Fields = Mapping[str, Given]
"""By the setting's name; a step into a table is a dot."""

_KB: Final = 1 << 10


def _both_pdus(length: int, source: str) -> dict[str, Given]:
    return {"max_pdu": Given(length, source), "max_pdu_sent": Given(length, source)}


def _no_window(source: str) -> dict[str, Given]:
    return {"window.invoked": Given(1, source), "window.performed": Given(1, source)}


_MARIE: Final[Fields] = {
    **_both_pdus(16384, "M-ASSOC-03, T59"),
    "connect": Given(1.0, "M T59"),
    "artim": Given(60.0, "M T59"),
    "dimse": Given(600.0, "M T59"),
    "response": Given(600.0, "M T59"),
    "idle": Given(1800.0, "M T59"),
    "object": Given(2 << 30, "M T59"),
    **_no_window("M-ASSOC-06"),
    "relational": Given(False, "M-ASSOC-02"),
    "extended_negotiation": Given(False, "M-ASSOC-02"),
    "associations": Given(0, "M-ASSOC-05"),
    "syntax_choice": Given("proposer", "M-ASSOC-09"),
    "policy": Given("known-peers", "M-ASSOC-08, M-SEC-05"),
    "duplicates": Given("keep-first-supplement", "M-STORE-06, M-DWSTORE-04"),
    "worklist.keys": Given("pacs", "M-MWL-04, M-MWL-05, M-MWL-06"),
    "mpps.known": Given("supplement", "M-MPPS-03"),
}
_QUERY_SERVER: Final[Fields] = {
    "max_pdu": Given(16384, "X F.4.4.2"),
    "max_pdu_sent": Given(128 * _KB, "X F.4.4.2"),
    "connect": Given(10.0, "X F.4.4.2"),
    "artim": Given(30.0, "X F.4.4.2"),
    "send": Given(30.0, "X F.4.4.2"),
    "dimse": Given(30.0, "X F.4.4.2"),
    "response": Given(300.0, "X F.4.4.2, C-STORE"),
    "associations": Given(10, "X-QR-02, X-QR-21, X-QR-41"),
    **_no_window("X-COM-02"),
    "relational": Given(False, "X-QR-22"),
    "extended_negotiation": Given(False, "X-COM-07"),
    "reject_empty": Given(True, "X-QR-21, X-QR-41"),
}

FIELDS: Final[Mapping[Preset, Fields]] = MappingProxyType(
    {
        "default": {},
        "archive": {
            **_both_pdus(50 * _KB, "I-ASSOC-04"),
            "character_set": Given("ISO_IR 192", "I-CHAR-04"),
            "unknown_character_set": Given("refuse", "I-CHAR-06, I-STORE-10"),
            "unknown_destination": Given("requestor", "I-ASSOC-02"),
            "unknown_destination_port": Given(104, "I-ASSOC-02"),
            "relational": Given(True, "I-CTX-06"),
            "person_names": Given("canonical", "I-STORE-09"),
            "syntax_choice": Given("acceptor", "I-CTX-02"),
            "commitment.report": Given("new", "I-COMMIT-03"),
            "worklist.keys": Given("archive", "I-WLM-05"),
        },
        "pacs": {**_MARIE, "merge_on_send": Given("full", "M-SEND-07, T14")},
        "viewer": {
            **_MARIE,
            "services": Given(("store",), "M-AE-12, M-AE-31"),
            "merge_on_send": Given("reduced", "M-DWSEND-04, T49"),
        },
        "workstation": {
            "services": Given(("store",), "X-VIEW-01"),
            "policy": Given("open", "X-VIEW-01, X-VIEW-45"),
            "max_pdu": Given(16 * _KB, "X-VIEW-44"),
            "max_pdu_sent": Given(16 << 20, "X-VIEW-44"),
            **{name: Given(0.0, "X-VIEW-44") for name in ("connect", "artim", "dimse", "response", "idle", "send")},
            "object": Given(0, "X D.4.4"),
            "associations": Given(0, "X-VIEW-01"),
            **_no_window("X-COM-02"),
            "duplicates": Given("replace", "X-VIEW-06"),
        },
        "query-server": {
            **_QUERY_SERVER,
            "services": Given(("find", "move"), "X-QR-20"),
            "required_keys": Given(True, "X-QR-23"),
            "after_failure": Given("stop", "X-QR-27"),
            "idle": Given(180.0, "X F.4.4.2, QUERY-RETRIEVE-SCP"),
        },
        "storage-server": {
            **_QUERY_SERVER,
            "services": Given(("store", "commit"), "X-QR-40"),
            "idle": Given(900.0, "X F.4.4.2, STORAGE-SCP"),
            "duplicates": Given("new-uid", "X-QR-44"),
            "validation": Given("minimal", "X F.4.2, A900 of STORAGE-SCP"),
            "validation_failure": Given("refuse", "X F.4.2, A900 of STORAGE-SCP"),
            "commitment.report": Given("either", "X-QR-61"),
            "commitment.retries": Given(5, "X-QR-63"),
            "commitment.retry_delay": Given(300.0, "X-QR-63"),
            "commitment.check": Given("row", "X-QR-60"),
        },
        "bridge": {
            "services": Given(("store", "worklist", "procedure-step", "notification"), "P-ASSOC-10, P-IAN-01"),
            "max_pdu": Given(16378, "P-ASSOC-08"),
            "max_pdu_sent": Given(65535, "P-ASSOC-08"),
            "connect": Given(5.0, "P-ASSOC-09"),
            "response": Given(5.0, "P-ASSOC-09"),
            "associations": Given(50, "P T65"),
            **_no_window("P-ASSOC-04"),
            "relational": Given(False, "P-ASSOC-05"),
            "extended_negotiation": Given(False, "P-ASSOC-05"),
            "policy": Given("known-titles", "P-ASSOC-06"),
            "worklist.keys": Given("bridge", "P-MWL-15"),
            "worklist.unsupported": Given("empty", "P-MWL-04"),
            "worklist.time_with_date": Given(True, "P-MWL-07"),
            "worklist.station_name": Given("title", "P-MWL-08"),
            "worklist.status": Given("scheduled", "P-MWL-09"),
            "worklist.character_set": Given("ISO_IR 100", "P-MWL-05"),
            "mpps.checks": Given("refuse", "P-MPPS-04"),
            "mpps.close_invalid": Given(True, "P-MPPS-04"),
        },
        "modality": {
            "services": Given(("commit",), "X-MOD-37"),
            **_both_pdus(65536, "X B.4.4"),
            "connect": Given(15.0, "X B.4.4"),
            "artim": Given(15.0, "X B.4.4"),
            "dimse": Given(30.0, "X B.4.4"),
            "response": Given(120.0, "X B.4.4, C-STORE"),
            "associations": Given(5, "X B.4.4"),
            **_no_window("X-COM-02"),
            "policy": Given("known-titles", "X-MOD-37"),
            "character_set": Given("ISO_IR 100", "X B.4.4"),
            "after_failure": Given("stop", "X-MOD-13"),
            "commitment.wait": Given(120.0, "X-MOD-31"),
            "commitment.timeout": Given(86400.0, "X-MOD-34"),
        },
        "import": {
            "services": Given((), "S T27: no association is ever accepted"),
            **_both_pdus(16384, "S T28"),
            "connect": Given(10.0, "S T28"),
            "artim": Given(10.0, "S T28"),
            "dimse": Given(0.0, "S T28"),
            "response": Given(0.0, "S T28"),
            **_no_window("S-ASSOC-04"),
        },
        "ris": {
            "services": Given(("worklist", "procedure-step"), "X C.4.2.1"),
            **_both_pdus(65536, "X C.4.4.2"),
            "associations": Given(20, "X-RIS-04"),
            "associations_per_address": Given(3, "X-RIS-04"),
            **_no_window("X-COM-02"),
            "extended_negotiation": Given(False, "X-COM-07"),
            "policy": Given("known-titles", "X-RIS-50"),
            "character_set": Given("ISO_IR 100", "X-RIS-51"),
            "worklist.keys": Given("ris", "X-RIS-15"),
            "worklist.unsupported": Given("refuse", "X-RIS-17"),
            "worklist.limit": Given(100, "X-RIS-17"),
            "worklist.until": Given("STARTED", "X-RIS-13"),
            "worklist.character_set": Given("ISO_IR 100", "X-RIS-51"),
            "mpps.checks": Given("refuse", "X-RIS-38"),
            "mpps.coercion": Given(True, "X-RIS-37"),
            "mpps.study_uid": Given("take", "X C.4.2.1.4.2.3, Table C.4.2-10"),
            "mpps.kept": Given(30, "X-RIS-30"),
        },
        "technologist": {
            "role": Given("reconcile", "I-TWF-02"),
            "services": Given(("store", "notification"), "I-TWF-02, I-TWF-03"),
            **_both_pdus(1 << 20, "I 3.5.1.1"),
            "reconciling.match": Given(("PatientID", "Modality", "AccessionNumber"), "I-TWF-07"),
            "reconciling.associations": Given(5, "I-TWF-08"),
        },
    }
)
"""What each preset gives, by setting."""


def under(preset: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` of an AE with what its preset gives laid under them. An unknown preset gives nothing."""
    found: dict[str, Any] = {}
    for name, given in FIELDS.get(preset, {}).items():  # type: ignore[call-overload]
        *steps, key = name.split(".")
        branch = found
        for step in steps:
            branch = branch.setdefault(step, {})
        branch[key] = given.value
    return _over(found, values)


def _over(below: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in values.items():
        branch = below.get(key)
        if isinstance(branch, dict) and isinstance(value, Mapping):
            below[key] = _over(branch, value)
        else:
            below[key] = value
    return below
