"""HTTP exchanges over aiohttp, one per call."""
