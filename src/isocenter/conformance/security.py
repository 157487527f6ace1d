"""Sections 6 and 7: character sets and security (C-TPL-6, C-TPL-7, C-GEN-14, C-GEN-15)."""

from collections.abc import Sequence

from isocenter.config import Settings
from isocenter.conformance.entity import who_may_call
from isocenter.conformance.facts import Entity
from isocenter.conformance.model import Block, Bullets, Paragraph, Section, Table
from isocenter.conformance.templates import table
from isocenter.declarations.repertoire_names import names
from isocenter.declarations.tls_profiles import PROFILES, TLS_1_3_SUITES


def character_sets(settings: Settings, entities: Sequence[Entity]) -> Section:
    """Section 6."""
    rows = [(description, term) for term, description in names().items()]
    assumed = ", ".join(f"{e.ae.character_set} by {e.title}" for e in entities if e.ae)
    refusing = [e.title for e in entities if e.ae and e.ae.unknown_character_set == "refuse"]
    unknown = "An object whose Specific Character Set (0008,0005) names no set that is known is " + (
        f"refused by {', '.join(refusing)}, and kept as it is by other AEs; its text is then read as far as it can be."
        if refusing
        else "kept as it is; its text is read as far as it can be for the index, and what can't be read is replaced "
        "there."
    )
    return Section(
        "Support of Character Sets",
        (
            Paragraph("Beside the default repertoire these character sets are supported, in all services:"),
            table("character-sets", "Table 6-1. Specific Character Set", rows),
            Bullets(
                (
                    f"Unsupported sets: {unknown}",
                    f"Configuration: text of data sets without Specific Character Set that is more than ASCII is taken "
                    f"to be in {assumed}; for each peer another set can be assumed or forced.",
                    "Misspelt terms that are met in the field, such as ISO-IR 100 or UTF8, are understood.",
                    "Mapping and conversion: text is kept in objects as it came. In the index it is Unicode, so that "
                    "objects in different sets are found together. Objects leave in the set they came in, unless a "
                    "peer is set to get another: then characters that this set lacks are replaced.",
                    "Queries as SCP: keys are read in the Specific Character Set of the request, whichever it is, and "
                    "match data in any other. Responses are in the set of the request where it has all characters of "
                    "the answer, otherwise in ISO_IR 192.",
                    "Queries as SCU: the commands send ISO_IR 192 where the keys are more than ASCII, and understand "
                    "responses in any of the sets above. There are no worklist queries.",
                    "Person names: each of the three component groups (alphabetic, ideographic, phonetic) matches by "
                    "itself, without regard to case and accents.",
                    "Presentation to the user: the program has no display of its own beyond the command line, which "
                    "prints Unicode with the fonts of the terminal.",
                )
            ),
        ),
        role="6",
    )


def security(settings: Settings, entities: Sequence[Entity]) -> Section:
    """Section 7."""
    return Section(
        "Security",
        sections=(
            Section("Security Profiles", tuple(_profiles(settings)), role="7.1"),
            Section("Association Level Security", tuple(_associations(settings, entities)), role="7.2"),
            Section("Application Level Security", (Paragraph(_application(settings)),), role="7.3"),
        ),
        role="7",
    )


def _profiles(settings: Settings) -> list[Block]:
    tls = settings.tls
    rows = tuple(
        (
            profile.title + (" (retired)" if profile.retired else ""), f"PS3.15 {profile.section}",
            _state(bool(tls.ports) and tls.profile == name), "\n".join((*TLS_1_3_SUITES, *profile.suites)),
        )
        for name, profile in PROFILES.items()
    )  # fmt: skip
    columns = ("Security Profile", "Defined in", "In use here", "Cipher suites")
    revoked = "looked up in certificate revocation lists" if tls.revoked else "not looked up (no list is configured)"
    chosen = f"`{tls.profile}` is in use on TLS port {', '.join(map(str, tls.ports))}" if tls.ports else "TLS is off"
    return [
        Paragraph(
            f"One profile at a time is selected by the setting `tls.profile`; {chosen}. TLS 1.2 and 1.3 are spoken, "
            "never an older version."
        ),
        Table("Table 7-1. Secure transport connection profiles", columns, rows, "security-profiles"),
        Bullets(
            (
                f"Client certificates: {_CERTIFICATES[tls.client_certificate]}. A peer's certificate has to lead to "
                f"one that is trusted; revoked ones are {revoked}.",
                "Which peers must use TLS, and which AEs accept nothing else, is set for each. No profile is offered "
                "for negotiation beside the one selected.",
                "Digital signatures: stored data sets are bit-preserving, so signatures stay valid in what leaves "
                "unchanged. An object that leaves with changes (section 8.1) keeps its signatures, which then no "
                "longer verify. Signatures are neither verified nor made nor replaced.",
                "IPv6 security features are not used.",
            )
        ),
    ]


_CERTIFICATES = {
    "require": "every caller has to show one",
    "request": "a caller may show one, which then must be good",
    "none": "callers are not asked for one",
}


def _state(truth: bool) -> str:
    return "Yes" if truth else "No"


def _associations(settings: Settings, entities: Sequence[Entity]) -> list[Block]:
    hosted = [entity for entity in entities if entity.ae is not None]
    kinds = ", ".join(_kinds(settings))
    told = f"identities of these kinds can be verified here: {kinds}. " if kinds else "no kind is configured. "
    rows = tuple(
        (entity.title, who_may_call(settings, entity), _IDENTITY[entity.ae.identity], _state(entity.ae.tls_only))
        for entity in hosted
        if entity.ae is not None
    )
    columns = ("AE Title", "Who may open an association", "User identity", "Only over TLS")
    return [
        Table("Table 7-2. Association level security", columns, rows, "association-security"),
        Bullets(
            (
                "What a known peer may ask for (services, SOP classes and roles) is configured for it; other "
                "presentation contexts are refused.",
                "Calling AE titles, calling addresses and the called AE title are checked; a caller that fails is "
                "rejected with the reasons of section 4.2.",
                "User Identity negotiation (PS3.7 D.3.3.7) is used beyond what a security profile specifies: "
                + told
                + "An identity of another kind is passed over without a response, unless the AE demands one.",
            )
        ),
    ]  # fmt: skip


_IDENTITY = {
    "none": "passed over",
    "optional": "verified where it is given",
    "required": "demanded and verified; the association is rejected otherwise",
}


def _kinds(settings: Settings) -> list[str]:
    identity = settings.identity
    able = (
        ("user name", identity.names and any(not user.passcode for user in settings.users)),
        ("user name and passcode", any(user.passcode for user in settings.users)),
        ("Kerberos service ticket", bool(identity.kerberos)),
        ("SAML assertion", bool(identity.saml)),
        ("JSON Web Token", bool(identity.jwt.keys or identity.jwt.secret)),
    )
    return [name for name, configured in able if configured]


def _application(settings: Settings) -> str:
    if settings.http_open:
        return "The commands work with the rights of whoever runs them. HTTP asks for no token in this installation."
    return "The commands work with the rights of whoever runs them. HTTP requests have to carry the admin token."
