"""The programs of this project, and what adds to them, as typed on this machine."""

import os
import sys
from pathlib import Path


def typed(name: str) -> str:
    """
    Return the name of a program of this project, or its path where the shell would not
    find it, as in a virtual environment that is not activated.
    """
    import shlex  # late, as the next: most runs of the client print no command line
    import shutil

    own = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    # Installed without an environment, it stands in the folder of some scheme.
    if not own.exists() or (found is not None and os.path.samefile(found, own)):
        return name
    return shlex.quote(str(own))


def installing(package: str) -> str:
    """What adds a package to this project, for each way to install it."""
    import shlex

    return (
        f"pipx inject shellstream-http {package}; "
        f"uv tool install --with {package} shellstream-http; "
        f"{shlex.quote(sys.executable)} -m pip install {package}"
    )
