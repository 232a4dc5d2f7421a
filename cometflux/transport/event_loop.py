"""Finds the running loop, or says in a sentence that there is none."""

import asyncio

from cometflux.errors import ConfigError


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running loop of asyncio.

    Raises:
        ConfigError: none runs here. Under trio, and under anyio with trio, there is none.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigError(
            "cometflux needs asyncio, and no asyncio loop runs here", hint="use asyncio.run(main()), or cometflux.sync"
        ) from None
