"""Sweeps: their folders, launchers, summaries and schedules. python -m gsd.sweep status multirun/NAME"""
