"""The DICOM conformance statement (PS3.2) of an installation, made from its settings and from `declarations`.

`statement(settings, ...)` builds the text as data (`model`), `checks.findings` looks at it, and `html`, `markdown` and
`pdf` write it down. Nothing here knows how a statement looks on paper and what an AE accepts at once.
"""
