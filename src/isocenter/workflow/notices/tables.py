"""The tables of notifications. They are no copy of the store: `index rebuild` leaves them as they are."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, UniqueConstraint

from isocenter.database.tables import count, identity, metadata, text

completeness = Table(
    "completeness",
    metadata,
    identity(),
    text("study_uid"),
    count("instances"),  # in force when it was complete last
    count("received_at"),  # of the newest of them
    count("times"),  # how often it was complete
    count("complete_at"),  # when it was last; 0: it has not been yet
    count("request_at"),  # when the last STOW-RS request that brought of it ended
    UniqueConstraint("study_uid", name="uq_completeness_study"),
)
"""The studies that are looked after since they came. Times in microseconds UTC."""

study_timer = Table(
    "study_timer",
    metadata,
    identity(),
    text("study_uid"),
    text("timer"),  # complete, or quiet and its seconds
    Column("due_at", BigInteger, nullable=False),
    UniqueConstraint("study_uid", "timer", name="uq_study_timer"),
    Index("ix_study_timer_due", "due_at"),
)
"""What is to be looked at when, unless more comes before."""

notice = Table(
    "notice",
    metadata,
    identity(),
    text("kind"),  # study-content, availability, hook
    text("ae"),  # the AE title of ours; '' for a hook
    text("destination"),  # the title of the peer, or of the hook
    text("event"),  # first, quiet, complete, committed; of a hook its event
    text("occasion"),  # tells this one from the others of its destination
    text("study_uid"),
    text("sop_uid"),  # of the notification's own instance; of a hook its delivery id
    text("payload"),  # JSON: what the study alone does not tell
    text("state"),  # waiting, sent, failed, discarded
    count("attempts"),
    Column("status", Integer),  # of the peer's last answer
    text("comment"),  # what went wrong last; no patient data
    Column("due_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    UniqueConstraint("kind", "ae", "destination", "occasion", name="uq_notice_occasion"),
    Index("ix_notice_due", "state", "kind", "ae", "destination", "due_at"),
    Index("ix_notice_study", "study_uid"),
)
"""What is to be told, and was."""

notice_received = Table(
    "notice_received",
    metadata,
    identity(),
    text("kind"),  # study-content, availability
    text("sop_uid"),
    text("study_uid"),
    text("calling"),
    text("called"),
    text("address"),
    text("digest"),  # SHA-256 of the data set, to tell one that is sent again from another with its UID
    count("instances"),  # that it names
    text("content"),  # the data set as DICOM JSON
    Column("received_at", BigInteger, nullable=False),
    UniqueConstraint("kind", "sop_uid", name="uq_notice_received_uid"),
    Index("ix_notice_received_study", "study_uid"),
)
"""What others told us."""
