"""Everything about child processes."""
