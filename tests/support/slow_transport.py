"""A transport that takes its time, so that much can happen during a submission."""

import asyncio

from cometflux.transport.aiohttp import AiohttpTransport


class SlowTransport(AiohttpTransport):
    """Waits before and after each submission."""

    pause = 0.5
    """The duration of each wait, in seconds."""

    async def submit(self, request):
        await asyncio.sleep(self.pause)
        response = await super().submit(request)
        await asyncio.sleep(self.pause)
        return response
