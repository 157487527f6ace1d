"""The meaning of orders and appointments: from HL7 segments to scheduled procedure steps of the worklist."""
