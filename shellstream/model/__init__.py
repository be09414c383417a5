"""Values and named errors that all rooms share."""
