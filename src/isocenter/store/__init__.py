"""Objects at rest (docs/design.md section 4): `api` says what a store is, `filesystem` and `memory` are two."""
