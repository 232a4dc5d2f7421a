"""The API without I/O: requests are built, and responses are interpreted."""
