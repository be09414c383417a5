"""HTTP by treq, TLS, and pinned certificates."""
