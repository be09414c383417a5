"""The daemon as a process: its reactor, its signals, the service manager."""
