"""The official client of fal. It reads the address from the environment on import."""

import os


async def buy(plain: str, tls: str) -> None:
    os.environ |= {"FAL_KEY": "dummy", "FAL_RUN_HOST": tls, "FAL_QUEUE_RUN_HOST": tls}
    import fal_client

    await fal_client.run_async("fal-ai/flux/schnell", arguments={"prompt": "a paper boat"})
