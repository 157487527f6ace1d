"""The settings of coercion: rules that change objects as they come and go, and the hooks that may stand in their place.

What is written here is checked for its form alone; `isocenter.rules` reads paths, patterns and tables, when a server
starts and on `config check`.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

_Secret = Annotated[str, msgspec.Meta(extra={"secret": True})]


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that an attribute must be for a rule to apply; of several values one is enough. Give one operator."""

    attribute: str
    """Keyword, `(gggg,eeee)`, or a path such as `RequestAttributesSequence[0].AccessionNumber`; `[*]` is any item."""
    equals: str | None = None
    """The value is this."""
    like: str | None = None
    """The value fits this, with `*` for any and `?` for one character."""
    matches: str | None = None
    """This regular expression is found in the value (of which 256 characters are looked at)."""
    one_of: tuple[str, ...] | None = msgspec.field(default=None, name="in")
    """The value is one of these."""
    range: tuple[str, str] | None = None
    """The value lies between these two, both included: as numbers if both are, else as text (dates, times)."""
    exists: bool | None = None
    """The attribute is there with a value; false: it is absent or empty."""
    absent: bool | None = None
    """The attribute is not there at all; false: it is, if empty."""
    negate: bool = msgspec.field(default=False, name="not")
    """The opposite."""


class Action(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change. Exactly one of `set`, `delete`, `copy`, `replace`, `map`, `hash` and `private` names its attribute;
    the others say how."""

    set: str | None = None
    """The attribute gets `value`."""
    delete: str | None = None
    """The attribute goes."""
    copy: str | None = None
    """The attribute gets the value of `from`, if that is there."""
    replace: str | None = None
    """What `pattern` finds in the attribute's values becomes `by`."""
    map: str | None = None
    """The attribute's values become what `table` or `file` has for them."""
    hash: str | None = None
    """The attribute's values become a keyed hash: a UID below 2.25, or hexadecimal digits as long as the VR takes."""
    private: str | None = None
    """A private element of the group given here (`0099`) gets `value`: `element` of the block of `creator`."""
    value: str | None = None
    """The value; several are separated by a backslash, '' empties the attribute."""
    vr: str = ""
    """VR of an attribute that the dictionary does not know."""
    source: str | None = msgspec.field(default=None, name="from")
    """Attribute that is copied."""
    pattern: str | None = None
    """Regular expression that is searched for."""
    by: str | None = None
    """What takes the place of what was found; `\\1` or `\\g<name>` for its groups."""
    table: dict[str, str] | None = None
    """Old values and new."""
    file: Path | None = None
    """A CSV file of two columns, old value and new; relative to the data folder."""
    otherwise: str | None = None
    """What a value becomes that the table does not have; not given: it stays."""
    key: _Secret = ""
    """Secret key of the hash: the same key makes the same hashes."""
    creator: str = ""
    """Private creator of the block, which is reserved if it is not there."""
    element: int | None = None
    """Number of the element in the block, 0 to 255."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to objects that fit all of its conditions. Rules apply in their order, each to what the one before left;
    a condition that is not given fits all."""

    name: str = ""
    """What messages and the log call it."""
    when: Literal["receive", "send"]
    """As objects come (C-STORE, STOW-RS), or as they leave (C-MOVE, C-GET)."""
    calling: tuple[str, ...] = ()
    """AE titles of the calling side, `*` and `?` allowed. On sending, that is the AE that sends."""
    called: tuple[str, ...] = ()
    """AE titles of the called side. On sending, that is the destination."""
    addresses: tuple[str, ...] = ()
    """Addresses or networks (`10.1.0.0/16`) of the other side."""
    peers: tuple[str, ...] = ()
    """Titles of registered peers (`[[peer]]`) that the other side is one of; `*` and `?` allowed."""
    classes: tuple[str, ...] = ()
    """SOP Class UIDs or their keywords (`CTImageStorage`)."""
    modalities: tuple[str, ...] = ()
    """Modality (0008,0060)."""
    where: tuple[Condition, ...] = ()
    """What attributes must be."""
    do: tuple[Action, ...]
    """The changes, in their order."""
    reason: Literal["COERCE", "CORRECT"] = "COERCE"
    """Reason for the Attribute Modification (0400,0565)."""
    keep_originals: bool | None = None
    """Former values are kept in Original Attributes Sequence (0400,0561). Not given: yes, but not where a rule on
    sending deletes or hashes."""
    tell_sender: bool | None = None
    """The sender is told by status B000 (B006 where elements were only removed). Not given: as the AE's `tell_sender`.
    """


class Hooks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Functions of your own that take the place of the rules: `package.module:function`, called with the object."""

    receive: str = ""
    """Instead of the rules with `when = "receive"`."""
    send: str = ""
    """Instead of the rules with `when = "send"`."""
