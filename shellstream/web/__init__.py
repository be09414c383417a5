"""The HTTP face: what each path answers, and the pages for browsers."""

from .http import Site
from .resources import Root

__all__ = ["Root", "Site"]
