"""HL7 messages as they come and go: kept, answered once, handed to those who know what they mean, sent again."""
