"""Words that the client's command line takes for its own."""

#: The subcommands of the client, with their other names. The daemon knows none of the
#: client's code; a test compares this with it.
SUBCOMMANDS = frozenset(
    {
        *("attach", "cancel", "commands", "completion", "delete", "demo", "doctor"),
        *("events", "help", "inspect", "login", "logout", "logs", "output", "ps", "rm"),
        *("run", "send", "servers", "show", "signal", "start", "stop", "version"),
        "wait",
    }
)
