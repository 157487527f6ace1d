"""Patients as the hospital's systems tell of them: registered, updated, merged, moved."""
