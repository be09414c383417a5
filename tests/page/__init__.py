"""The page, as people use it: in browsers."""
