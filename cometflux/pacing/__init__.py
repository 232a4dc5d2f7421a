"""How fast to send, what to retry, and when to stop."""
