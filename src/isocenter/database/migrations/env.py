"""Run by Alembic for each migration: uses the connection, and the transaction, that `database.migrate` brings."""

from alembic import context

from isocenter.database.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
