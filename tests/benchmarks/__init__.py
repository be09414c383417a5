"""How fast it is, as a ratio against something measured in the same run."""
