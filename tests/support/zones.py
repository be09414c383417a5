"""The time zone of this process."""

import os
import time

from twisted.trial.unittest import SynchronousTestCase


def local_zone(case: SynchronousTestCase, name: str) -> None:
    """Let the clocks of a test show the time of a zone."""

    def choose(zone: str | None) -> None:
        if zone is None:
            os.environ.pop("TZ", None)
        else:
            os.environ["TZ"] = zone
        time.tzset()

    case.addCleanup(choose, os.environ.get("TZ"))
    choose(name)
