"""Companion package of the course on vision-enhanced language modelling."""

__version__ = "0.1.0"
