"""The Worklist service of PS3.18 11 (UPS-RS): workitems, subscriptions, and event reports over WebSocket."""
