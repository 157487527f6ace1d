"""What a row of `instance` says of an arrival."""

from isocenter.index.places import SeriesPlace
from isocenter.index.records import Arrival

INSTANCE_TEXT = ("instance_number", "image_type", "content_date", "content_time", "attributes", "character_set")
INSTANCE_NUMBERS = ("instance_number_value", "rows", "columns", "bits_allocated", "frames", "frame_table")
INSTANCE_COLUMNS = (
    *("series", "study", "sop_uid", "sop_class", "syntax", "store_key", "size", "offset", "digest", "source_aet"),
    *("received_at", "availability", *INSTANCE_TEXT, *INSTANCE_NUMBERS),
)


def instance_row(a: Arrival, place: SeriesPlace) -> tuple[object, ...]:
    """The values of `INSTANCE_COLUMNS`."""
    own = a.instance.get
    return (
        place.level.id,
        place.study.study.id,
        a.sop_uid,
        a.sop_class,
        a.syntax,
        a.store_key,
        a.size,
        a.offset,
        a.digest,
        a.source_aet,
        a.received_at,
        own("availability", "ONLINE"),
        own("instance_number", ""),
        own("image_type", ""),
        own("content_date", ""),
        own("content_time", ""),
        own("attributes", ""),
        own("character_set", ""),
        own("instance_number_value"),
        own("rows"),
        own("columns"),
        own("bits_allocated"),
        own("frames"),
        own("frame_table"),
    )
