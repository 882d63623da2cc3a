"""Sweeps: their folders, launchers, summaries and schedules. gsd sweep status multirun/NAME"""
