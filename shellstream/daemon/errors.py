"""How the daemon refuses to start."""


class DaemonCannotStart(SystemExit, Exception):
    """
    Stops the daemon with one line.

    It has to be both. From an L{Exception} twistd tells the terminal that started a
    background daemon why it failed; without one that terminal waits for ever. A
    L{SystemExit} ends the process without a traceback.
    """
