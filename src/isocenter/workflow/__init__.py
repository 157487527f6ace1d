"""The departmental workflow: orders, worklists, procedure steps, notifications, reconciliation."""
