"""Everything on disk: SQLite, ring files, tokens, the audit, TLS files."""
