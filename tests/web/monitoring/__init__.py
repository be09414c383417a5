"""Tests for L{shellstream.web.monitoring}."""
