"""One HTTP exchange at a time, over aiohttp."""
