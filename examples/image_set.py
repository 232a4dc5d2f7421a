"""Make a set of pictures from a script, and print the failed jobs at the end.

COMETAPI_KEY=sk-... python examples/image_set.py
"""

import asyncio

from cometflux import Job, flux, open_session

ANIMALS = ["an otter", "a heron", "a hedgehog"]
PLACES = ["on a tram", "in a library"]


def jobs():
    """Yield a job for each animal in each place, with both as its key."""
    for animal in ANIMALS:
        for place in PLACES:
            picture = flux.Schnell(prompt=f"{animal} {place}", aspect_ratio="3:2", output_format="png", seed=7)
            yield Job.of(picture, key=f"{animal} {place}")


async def main() -> None:
    """Print the pictures as they finish."""
    unsaved = []
    async with open_session(max_pending=16) as session:
        async for outcome in session.generate(jobs(), save_to="animals"):
            if outcome.ok:
                print(outcome.key, *outcome.files)
            else:
                unsaved.append(outcome)
    for outcome in unsaved:
        print(f"{outcome.key}: {outcome.kind}: {outcome.error}")


if __name__ == "__main__":
    asyncio.run(main())
