"""The services that make a daemon of the other rooms."""
