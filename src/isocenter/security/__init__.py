"""Who may come in and how: TLS contexts, user identities."""
