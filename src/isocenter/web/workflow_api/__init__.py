"""The workflow over HTTP, for people and programs that run a department: JSON below `/api`."""
