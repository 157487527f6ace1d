"""Results and documents that come as HL7, kept as DICOM objects."""
