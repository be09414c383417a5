"""What programs that watch the daemon ask: its health, and its metrics."""
