"""Alembic's environment and the revisions of the schema. Run by `database.migrate`."""
