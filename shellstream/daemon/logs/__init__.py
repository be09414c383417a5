"""The daemon's log: how its lines look, and where they go."""
