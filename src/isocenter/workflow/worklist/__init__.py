"""Scheduled procedure steps: keeping them, searching them, what modalities see of them."""
