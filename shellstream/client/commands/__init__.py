"""The subcommands of the command line, one subject a file."""
