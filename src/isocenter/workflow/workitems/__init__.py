"""Unified worklist and procedure steps (PS3.4 CC, PS3.18 11): workitems, who watches them, what they are told."""
