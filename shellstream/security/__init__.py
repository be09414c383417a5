"""Who may do what, and the audit of what was done: pure rules."""
