"""What the index keeps of an instance that belongs to no patient, read from its header (`declarations.non_patient`)."""

from collections.abc import Callable

from isocenter.declarations.non_patient import MODEL_OF, keys_of, tags_of
from isocenter.dicom.scan import Scan, scan_file
from isocenter.index.further import further
from isocenter.index.keys import SPECIFIC_CHARACTER_SET, Keys


def columns_of(
    scan: Scan, sop_class: str, size: int, read: Callable[[int, int], bytes] | None, declared: bytes
) -> dict[str, str | int | bytes | None]:
    """What the index keeps of an instance: its model's keys as DICOM JSON. `read(n, offset)` gives the data set, whose
    header `scan` may not have looked for them."""
    wanted = tags_of(sop_class)
    found = scan if read is None else scan_file(read, size, scan.syntax, wanted)
    own = found.elements.get(SPECIFIC_CHARACTER_SET)
    written = own.value.strip(b" \0").decode("ascii", "replace") if own is not None else ""
    keys: Keys = {tag: _inner(sop_class, tag) for tag in wanted - {SPECIFIC_CHARACTER_SET}}
    kept = further("N", keys, found.elements, found.encoding, declared)
    return {"attributes": kept.json, "character_set": written}


def _inner(sop_class: str, tag: int) -> Keys | None:
    """Marks a sequence; what lies in it is matched from the JSON, and needs no rows."""
    return {} if keys_of(MODEL_OF[sop_class].name)[(tag,)].vr == "SQ" else None
