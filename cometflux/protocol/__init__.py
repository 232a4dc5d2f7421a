"""The API without I/O: requests, responses, and what they mean."""
