"""The W&B workspace and report of a sweep, as code: python -m gsd.dashboard multirun/NAME"""
