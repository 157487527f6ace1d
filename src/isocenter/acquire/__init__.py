"""Acquisition: files and templates become DICOM objects, and procedure steps are performed."""
