"""Why nothing can be said (see L{shellstream.client.errors})."""

from shellstream.client.errors import ClientError


class NotExamined(ClientError):
    """What answers there is nothing that can be examined (C{EX_DATAERR})."""

    code = 65


class CannotRun(ClientError):
    """The command cannot be started (C{EX_NOINPUT})."""

    code = 66


class NothingSeen(ClientError):
    """Nothing happened while it was watched (C{EX_TEMPFAIL})."""

    code = 75
