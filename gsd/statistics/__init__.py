"""Intervals and tests for few runs."""
