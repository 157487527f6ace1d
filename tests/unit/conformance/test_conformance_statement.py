"""The statement of an installation: its sections, tables and disclosures, against the template of PS3.2."""

import re

import pytest

from isocenter import __version__
from isocenter.config import HostedAE, Settings, build
from isocenter.conformance.building import statement
from isocenter.conformance.checks import findings
from isocenter.conformance.model import Paragraph
from isocenter.conformance.templates import templates
from isocenter.declarations import sop_classes
from isocenter.declarations.overview import OVERVIEW, STORAGE_SERVICE_NAME, overview_of
from isocenter.declarations.presets import PRESETS
from unit.conformance.default_statement import DATE, made, section, text_of
from unit.conformance.source_rows import differences, rows

# --- the template


TEMPLATE = {
    "1": "Conformance Statement Overview", "2": "Table of Contents", "3": "Introduction", "3.1": "Revision History",
    "3.2": "Audience", "3.3": "Remarks", "3.4": "Terms and Definitions", "3.5": "Basics of DICOM Communication",
    "3.6": "Abbreviations", "3.7": "References", "4": "Networking", "4.1": "Implementation Model",
    "4.1.1": "Application Data Flow", "4.1.2": "Functional Definition of AEs",
    "4.1.3": "Sequencing of Real World Activities", "4.2": "AE Specifications", "4.2.x.1": "SOP Classes",
    "4.2.x.2": "Association Policies", "4.2.x.2.1": "General", "4.2.x.2.2": "Number of Associations",
    "4.2.x.2.3": "Asynchronous Nature", "4.2.x.2.4": "Implementation Identifying Information",
    "4.2.x.3": "Association Initiation Policy", "4.2.x.3.y.1": "Description and Sequencing of Activities",
    "4.2.x.3.y.2": "Proposed Presentation Contexts", "4.2.x.3.y.3": "SOP Specific Conformance",
    "4.2.x.4": "Association Acceptance Policy", "4.2.x.4.y.1": "Description and Sequencing of Activities",
    "4.2.x.4.y.2": "Accepted Presentation Contexts", "4.2.x.4.y.3": "SOP Specific Conformance",
    "4.3": "Network Interfaces", "4.3.1": "Physical Network Interface", "4.3.2": "Additional Protocols",
    "4.3.3": "IPv4 and IPv6 Support", "4.4": "Configuration", "4.4.1": "AE Title/Presentation Address Mapping",
    "4.4.1.1": "Local AE Titles", "4.4.1.2": "Remote AE Title/Presentation Address Mapping", "4.4.2": "Parameters",
    "5": "Media Interchange", "6": "Support of Character Sets", "7.1": "Security Profiles",
    "7.2": "Association Level Security", "7.3": "Application Level Security", "8.1.1": "Created SOP Instances",
    "8.1.2": "Usage of Attributes from Received IODs", "8.1.3": "Attribute Mapping",
    "8.1.4": "Coerced/Modified Fields", "8.2": "Data Dictionary of Private Attributes",
    "8.3": "Coded Terminology and Templates", "8.3.1": "Context Groups", "8.3.2": "Template Specifications",
    "8.3.3": "Private Code Definitions", "8.4": "Grayscale Image Consistency",
    "8.5": "Standard Extended/Specialized/Private SOP Classes", "8.6": "Private Transfer Syntaxes",
}  # fmt: skip
"""The sections of PS3.2 annex A that this product has, by their place in the template."""


@pytest.mark.req(*(f"C-TPL-{role}" for role in TEMPLATE if role != "4.2.x"), "C-TPL-0.1", "C-RULE-11")
@pytest.mark.parametrize("role", TEMPLATE)
def test_the_sections_of_the_template_are_there_and_say_something(role: str) -> None:
    found = section(role)
    assert found.title == TEMPLATE[role]
    assert role == "2" or len(text_of(found)) > len(found.title) + 4


@pytest.mark.req("C-TPL-0.2", "C-TPL-0.3")
def test_the_numbers_are_those_of_the_template() -> None:
    numbers = {s.role: number for number, s in made().numbered() if s.role}
    assert [numbers[role] for role in ("1", "2", "3.4", "4", "4.2", "4.4.1.1", "5", "6", "7.2", "8.1.4", "8.6")] == [
        "1", "2", "3.4", "4", "4.2", "4.4.1.1", "5", "6", "7.2", "8.1.4", "8.6"
    ]  # fmt: skip
    # of the first AE, and of its first activity
    assert next(n for n, s in made().numbered() if s.role == "4.2.x.1") == "4.2.1.1"
    assert next(n for n, s in made().numbered() if s.role == "4.2.x.4.y.3") == "4.2.1.4.1.3"


@pytest.mark.req("C-TPL-0.2")
@pytest.mark.parametrize("row", rows("ps32_template_tables"), ids=lambda row: row["table_title"][:40])
def test_every_table_of_the_template_is_printed_with_its_columns(row: dict[str, str]) -> None:
    columns = tuple(column.strip() for column in row["columns"].split("|"))
    template = next(t for t in templates().values() if t.title == row["table_title"])
    assert (template.section, template.columns) == (row["section"], columns)
    printed = made().tables(template.kind)
    listed = [each for each in differences() if each.table == "ps32_template_tables" and each.covers(row)]
    assert bool(printed) != bool(listed), "printed, or its absence is listed"
    shown = tuple("" if column.startswith("(value") else column for column in columns)
    assert all(table.columns == shown and table.rows for table in printed)


@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_s_statement_has_anything_amiss(preset: str) -> None:
    settings = build({"ae": [{"title": "ONE", "preset": preset}], "peer": [{"title": "CT1", "host": "10.0.0.7"}]})
    assert findings(statement(settings, date=DATE)) == []


# --- the overview


@pytest.mark.req("C-TPL-0", "C-GEN-01", "C-TPL-3.1")
def test_the_cover_names_product_version_options_and_date() -> None:
    own = {
        "company": "Hospital of the North", "document": "N-17",
        "revision": [{"version": "0.0.9", "date": "2025-01-01", "author": "A", "description": "First"}],
    }  # fmt: skip
    product = statement(build({"statement": own}), date=DATE).product
    assert (product.name, product.version, product.date) == ("Isocenter", __version__, DATE)
    assert product.imprint == ("N-17", DATE, "All features belong to the product; none is an option to be bought.")
    assert [row[:2] for row in product.revisions] == [("0.0.9", "2025-01-01"), (__version__, DATE)]


@pytest.mark.req("C-TPL-1", "C-RULE-03")
def test_the_overview_comes_first_in_lay_words() -> None:
    first = made().sections[0]
    words = " ".join(block.text for block in first.blocks if isinstance(block, Paragraph))
    assert first.role == "1"
    assert 5 <= len(words) / 90 <= 12, "five to ten lines"
    assert not re.search(r"\b(DICOM|SCU|SCP|SOP|UID|AE|C-[A-Z]+)\b", words)


@pytest.mark.req("C-TPL-1.1", "C-GEN-03")
def test_the_network_services_stand_under_their_four_headings_without_verification() -> None:
    (table,) = made().tables("network-services")
    headings = [row[0] for row in table.rows if len(row) == 1]
    assert headings == [heading for heading in OVERVIEW if heading in headings]
    assert headings[:3] == ["Transfer", "Query/Retrieve", "Workflow Management"]
    shown = {
        row["SOP Classes"]: (row["User of Service (SCU)"], row["Provider of Service (SCP)"]) for row in table.records()
    }
    assert shown["CT Image Storage"] == ("Yes", "Yes")
    assert shown[f"All services of the {STORAGE_SERVICE_NAME}"] == ("Yes", "Yes")
    assert not any("Verification" in name and "Machine" not in name for name in shown)
    assert shown["Storage Commitment Push Model SOP Class"] == ("Yes", "Yes")
    (table,) = statement(Settings(aes=(HostedAE(services=("find",)),)), date=DATE).tables("network-services")
    assert not any(row[0].startswith("Storage Commitment") for row in table.rows)


@pytest.mark.req("C-TPL-1.2", "C-GEN-04")
@pytest.mark.parametrize("row", rows("ps32_uid_categories"), ids=lambda row: row["uid"])
def test_every_sop_class_is_filed_as_table_a_1_2_has_it(row: dict[str, str]) -> None:
    assert overview_of(row["uid"]) == row["overview_category"]


@pytest.mark.req("C-TPL-1.2")
def test_every_class_has_a_category() -> None:
    assert {overview_of(uid) for uid in sop_classes.registry()} == set(OVERVIEW)


MEDIA_RULES = (
    *(f"C-RULE-{n}" for n in (*range(20, 33), *range(65, 74))), "C-TPL-1.3", "C-TPL-5", "C-TPL-5.1.1",
    "C-TPL-5.1.2", "C-TPL-5.1.3", "C-TPL-5.1.4", "C-TPL-5.2.x", "C-TPL-5.2.x.1", "C-TPL-5.2.x.2", "C-TPL-5.2.x.2.i",
    "C-TPL-5.2.x.2.i.1", "C-TPL-5.3", "C-TPL-5.3.1.i", "C-TPL-5.3.2", "C-TPL-5.4", "C-GEN-13",
)  # fmt: skip


@pytest.mark.req("C-RULE-01", *MEDIA_RULES)
def test_the_claim_is_for_the_network_and_not_for_media() -> None:
    """What binds those who claim media conformance is not claimed: one line says so, in place of its subsections."""
    (overview,) = made().tables("media-services")
    (profiles,) = made().tables("media-profiles")
    assert overview.rows == (("None", "No", "No"),)
    assert profiles.rows == (("None", "None", "None"),)
    assert "not supported" in text_of(section("5"))
    assert not section("5").sections
    assert not any(s.role.startswith("5.") for _, s in made().numbered())
    assert section("4").sections


@pytest.mark.req("C-RULE-02")
def test_there_is_one_statement_for_network_and_media() -> None:
    assert [s.role for s in made().sections] == ["1", "2", "3", "4", "5", "6", "7", "8"]


@pytest.mark.req("C-RULE-75", "C-RULE-72")
def test_no_medium_is_called_conformant() -> None:
    said = " ".join(made().words())
    assert not re.search(r"(disc|disk|medium|media|CD|DVD)\b[^.]{0,40}\bDICOM[- ]conformant", said, re.IGNORECASE)
    assert "DICOM conformant" not in said


# --- the introduction


DEFINED = {
    "C-DEF-01": ("Conformance Statement",), "C-DEF-02": ("Standard SOP Class",),
    "C-DEF-03": ("Standard Extended SOP Class",), "C-DEF-04": ("Specialized SOP Class",),
    "C-DEF-05": ("Private SOP Class",), "C-DEF-06": ("Standard Attribute",),
    "C-DEF-07": ("Application Profile, standard, augmented or private",), "C-DEF-08": ("Security Profile",),
    "C-DEF-09": (
        "Application Entity (AE)", "Application Entity Title", "Association", "Presentation Context",
        "Transfer Syntax", "Extended Negotiation", "Implementation Class UID",
        "File-set Creator, Reader, Updater (FSC, FSR, FSU)", "Real-World Activity",
    ),
}  # fmt: skip


@pytest.mark.req(*DEFINED, "C-TPL-3.4")
@pytest.mark.parametrize("requirement", DEFINED)
def test_the_words_that_the_rules_depend_on_are_explained(requirement: str) -> None:
    terms = {row[0]: row[1] for block in section("3.4").blocks for row in block.rows}  # type: ignore[union-attr]
    assert all(len(terms[term]) > 20 for term in DEFINED[requirement])


@pytest.mark.req("C-TPL-3.4")
def test_the_terms_of_the_template_are_among_them() -> None:
    told = text_of(section("3.4"))
    for term in (
        "Abstract Syntax", "Application Context", "Attribute", "(IOD)", "JPEG", "Media Application Profile", "Module",
        "Negotiation", "(PDU)", "(SCP)", "(SCU)", "SOP Class", "SOP Instance", "Tag", "(UID)", "(VR)",
    ):  # fmt: skip
        assert term in told


@pytest.mark.req("C-TPL-3.6")
def test_only_abbreviations_that_are_used_are_explained() -> None:
    table = next(b for b in section("3.6").blocks)
    said = " ".join(text_of(s) for s in made().sections if s.role != "3")
    assert all(row[0] in said for row in table.rows)  # type: ignore[union-attr]


@pytest.mark.req("C-TPL-3.7")
def test_the_reference_to_the_standard_has_an_address_and_no_date() -> None:
    told = text_of(section("3.7"))
    assert "https://www.dicomstandard.org/current" in told
    assert not re.search(r"\b20\d\d\b", told)
