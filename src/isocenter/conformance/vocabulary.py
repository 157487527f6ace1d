"""The terms and abbreviations that a statement explains, in words for those who seldom read the Standard "
"(C-TPL-3.4)."""

from typing import Final

TERMS: Final = (
    ("Abstract Syntax", "What is to be exchanged: named by a UID, mostly that of a SOP class."),
    ("Application Context", "The kind of communication between AEs; there is one for all of DICOM."),
    ("Application Entity (AE)", "A program, or a part of one, that sends or receives DICOM information."),
    ("Application Entity Title", "The name of an AE in the network, of at most 16 characters."),
    (
        "Application Profile, standard, augmented or private",
        "As in PS3.11; that with further SOP classes; or one that only a statement describes.",
    ),
    ("Association", "The channel between two AEs, opened with a negotiation and released when it is no longer needed."),
    ("Attribute", "One piece of information about an object, named by a tag."),
    (
        "Conformance Statement",
        "What one implementation says of itself: which services, objects, protocols and profiles it supports.",
    ),
    ("Extended Negotiation", "The part of a negotiation that settles options of a SOP class."),
    (
        "File-set Creator, Reader, Updater (FSC, FSR, FSU)",
        "The roles of an AE that writes, reads or changes a set of files on a medium.",
    ),
    ("Implementation Class UID", "Tells implementations apart that differ in a way that matters to their peers."),
    ("Information Object Definition (IOD)", "Which attributes objects of a kind have."),
    ("JPEG", "A family of methods to compress images, with and without loss; a transfer syntax says which."),
    ("Media Application Profile", "Which objects are kept on which exchangeable medium in which form."),
    ("Module", "Attributes that belong together."),
    ("Negotiation", "The first exchange on an association, in which both agree on what can be done and how."),
    ("Presentation Context", "An abstract syntax with the transfer syntaxes for it, as proposed or accepted."),
    ("Private SOP Class", "One that is not in the Standard, but published in a statement."),
    ("Protocol Data Unit (PDU)", "A packet of an association; each side says how long a one it takes."),
    (
        "Real-World Activity",
        "What happens outside of the network, such as an examination, that makes AEs communicate or results from it.",
    ),
    ("Security Profile", "A set of mechanisms by which AEs protect what they exchange."),
    ("Service Class Provider (SCP)", "The AE that provides a service: stores, answers, commits."),
    ("Service Class User (SCU)", "The AE that uses a service of another: sends, asks."),
    ("SOP Class", "A kind of object together with what is done with it."),
    ("SOP Instance", "One object of a SOP class, such as one image."),
    (
        "Specialized SOP Class",
        "One derived from a standard class by required attributes or by restrictions, under a private UID. SOP class "
        "common extended negotiation can announce what it is derived from.",
    ),
    ("Standard Attribute", "One of the dictionary of PS3.6; any other is a private attribute."),
    (
        "Standard Extended SOP Class",
        "A standard one, under its own UID, whose instances have further optional (Type 3) attributes.",
    ),
    ("Standard SOP Class", "One that is used exactly as the Standard has it."),
    ("Tag", "The number of an attribute: group and element, four hexadecimal digits each."),
    ("Transfer Syntax", "How data are encoded: byte order, value representations, compression."),
    ("Unique Identifier (UID)", "A number of dotted parts that names one thing in all the world."),
    ("Value Representation (VR)", "The type of an attribute's value, such as a date or a person's name."),
)

ABBREVIATIONS: Final = (
    ("AE", "Application Entity"),
    ("AET", "Application Entity Title"),
    ("DHCP", "Dynamic Host Configuration Protocol"),
    ("DICOM", "Digital Imaging and Communications in Medicine"),
    ("DIMSE", "DICOM Message Service Element"),
    ("DNS", "Domain Name System"),
    ("GSDF", "Grayscale Standard Display Function"),
    ("HTTP", "Hypertext Transfer Protocol"),
    ("IOCM", "Imaging Object Change Management"),
    ("IOD", "Information Object Definition"),
    ("IPv4", "Internet Protocol version 4"),
    ("IPv6", "Internet Protocol version 6"),
    ("JSON", "JavaScript Object Notation"),
    ("JWT", "JSON Web Token"),
    ("LDAP", "Lightweight Directory Access Protocol"),
    ("NTP", "Network Time Protocol"),
    ("PDU", "Protocol Data Unit"),
    ("QIDO-RS", "Query based on ID for DICOM Objects by RESTful Services"),
    ("SCP", "Service Class Provider"),
    ("SCU", "Service Class User"),
    ("SOP", "Service-Object Pair"),
    ("STOW-RS", "Store Over the Web by RESTful Services"),
    ("TCP/IP", "Transmission Control Protocol/Internet Protocol"),
    ("TLS", "Transport Layer Security"),
    ("UID", "Unique Identifier"),
    ("VR", "Value Representation"),
    ("WADO-RS", "Web Access to DICOM Objects by RESTful Services"),
)
