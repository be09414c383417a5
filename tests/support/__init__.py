"""Fakes, fixtures, contracts and programs that tests share."""
