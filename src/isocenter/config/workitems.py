"""The settings of the unified worklist: the table `[workitem]`."""

from typing import Literal

from isocenter.config.kinds import Frozen, Positive, Seconds, Title, Whole


class Workitems(Frozen, frozen=True, kw_only=True):
    """The unified worklist (PS3.4 CC, PS3.18 11)."""

    keep: Seconds = 7 * 86400.0
    """A COMPLETED or CANCELED workitem is removed after so long, unless a subscriber holds a deletion lock on it."""
    locks: bool = True
    """Deletion locks are granted; if not, subscribers are told so (B301)."""
    missing: Literal["refuse", "supplement"] = "refuse"
    """A creation that lacks an attribute of type 2 is refused (0120), as the standard wants; or the attribute is added
    empty, and the creator told so (B300)."""
    label: str = "DEFAULT"
    """Worklist Label of workitems that are created without a value of it."""
    notify: tuple[Title, ...] = ()
    """AE titles of peers that are told of a stop and a start (SCP Status Change) though they have no subscription."""
    farewell: Seconds = 3.0
    """A stop waits at most so long for subscribers to hear of it (SCP Status Change, GOING DOWN); 0: they are not told,
    as where other nodes go on serving them."""
    events: Seconds = 7 * 86400.0
    """Event reports are kept for so long: what a WebSocket client that comes back can still get."""
    retries: Whole = 10
    """Further tries to deliver an event report to an AE after one that failed; then it is given up."""
    retry_delay: Seconds = 60.0
    """Before each of them."""
    channels: Positive = 200
    """WebSocket connections at once, in each web process."""
