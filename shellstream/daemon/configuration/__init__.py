"""What the daemon does with its configuration beside using it."""
