"""The life of a run: admission, supervision, history."""
