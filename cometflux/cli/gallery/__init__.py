"""The server of the gallery, which writes the marks of the pictures into their folder."""
