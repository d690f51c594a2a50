"""Measurements of speed: `make bench`. Never part of the tests; nothing here asserts a time."""
