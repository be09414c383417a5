"""Tests for L{shellstream.notifications}."""
