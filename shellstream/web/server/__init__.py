"""Twisted's C{Site}, C{Request} and C{HTTPChannel}, hardened."""
