"""Section 5: media interchange, which is not supported (C-TPL-5)."""

from isocenter.conformance.model import Paragraph, Section
from isocenter.conformance.templates import table


def media_interchange() -> Section:
    """The section. No media conformance is claimed (C-RULE-01, C-RULE-20)."""
    return Section(
        "Media Interchange",
        (
            Paragraph(
                "Media interchange is not supported: the product conforms to no application profile of PS3.11, neither "
                "standard, augmented nor private, and writes, reads and updates no file-set."
            ),
            table(
                "media-profiles", "Table 5-1. Application profiles, activities and roles", [("None", "None", "None")]
            ),
        ),
        role="5",
    )
