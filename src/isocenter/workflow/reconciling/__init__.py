"""Reconciliation: studies that wait for the right patient and order, and those that are corrected after they came."""
