"""The schema's revisions, one module each; `database.schema.REVISIONS` lists them."""
