"""What the settings are made of: the struct that all of them are, and the types of their values."""

from typing import Annotated

import msgspec

Secret = Annotated[str, msgspec.Meta(extra={"secret": True})]
"""A text that `config show` masks and that may come from the file that a `..._FILE` variable names."""

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=16)]
Whole = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
PduLength = Annotated[int, msgspec.Meta(ge=4096, le=16 << 20)]


class Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, cache_hash=True):
    """What all the structs of the settings share."""
