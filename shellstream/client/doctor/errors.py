"""Why an examination has no result; the exit codes are those of sysexits.h."""

from shellstream.client.errors import ClientError


class NotExamined(ClientError):
    """The response is none that can be examined (C{EX_DATAERR})."""

    code = 65


class CannotRun(ClientError):
    """The command cannot be started (C{EX_NOINPUT})."""

    code = 66


class NothingSeen(ClientError):
    """No output came while it was watched (C{EX_TEMPFAIL})."""

    code = 75
