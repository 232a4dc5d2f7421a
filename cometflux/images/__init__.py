"""Image bytes: formats, data URIs and reference files."""
