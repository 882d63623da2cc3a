"""Intervals and tests for numbers that few runs give."""
