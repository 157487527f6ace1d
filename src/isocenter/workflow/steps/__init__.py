"""Modality performed procedure steps (PS3.4 F): what modalities report of their work, and who is told of it."""
