"""Notifications: who is told that a study has come, is complete or is committed, and what others tell."""
