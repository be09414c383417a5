"""The command line, and what happens in each hour."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.endurance.clients import Clients
from tests.endurance.daemon import Daemon, Sample, growth

#: Hours of the daemon's clock between two restarts.
LIFE = 4


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; exits with a message if it is wrong."""
    parser = argparse.ArgumentParser(
        "python -m tests.endurance", description="A day of a daemon in ten minutes."
    )
    parser.add_argument("--hours", type=int, default=24, help="of the daemon's clock")
    parser.add_argument(
        "--speed", type=int, default=144, help="how much faster its clock runs"
    )
    return parser.parse_args(words)


async def live(daemon: Daemon, hours: int, hour: float) -> list[Sample]:
    """
    Let the daemon live for some hours of its clock.

    @param hour: seconds that one takes.
    @return: what it held at the end of each.
    """
    samples = []
    await daemon.start()
    clients = Clients(daemon.url)
    busy = asyncio.create_task(clients.work())
    try:
        for at in range(1, hours + 1):
            done, _ = await asyncio.wait([busy], timeout=hour)
            for task in done:
                task.result()  # clients work until they are cancelled, or find a fault
            samples.append(daemon.sample(at))
            print(samples[-1], clients, flush=True)
            if at % LIFE:
                await daemon.reload()
            else:
                await daemon.restart()
    finally:
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)
        await daemon.stop()
    return samples


def main() -> int:
    """Run it; the exit code tells whether the daemon stayed as it was."""
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder), options.speed)
        samples = asyncio.run(live(daemon, options.hours, 3600 / options.speed))
    faults = growth(samples)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
