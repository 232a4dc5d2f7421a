"""The pictures that the local service draws."""
