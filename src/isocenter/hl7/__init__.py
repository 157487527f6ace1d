"""HL7 version 2: messages and how they travel (MLLP), without their meaning."""
