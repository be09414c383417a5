"""The resources: one file for each path."""
