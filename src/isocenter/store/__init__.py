"""Objects at rest (DESIGN.md section 4): `api` says what a store is, `filesystem` and `memory` are two."""
