"""The page for browsers: templates, and the scripts, styles and icons beside them."""
