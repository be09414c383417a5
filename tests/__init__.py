"""All tests; run them with C{trial tests}."""

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

# How long an example takes, or how many were passed over on the way to it, says
# nothing about what it shows.
settings.register_profile(
    "shellstream",
    settings.default,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
settings.load_profile("shellstream")

# As in an environment that is activated: messages name our programs without a path.
os.environ["PATH"] += f"{os.pathsep}{Path(sys.executable).parent}"
