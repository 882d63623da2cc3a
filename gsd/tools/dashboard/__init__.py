"""The W&B workspace and report of a sweep, as code: gsd dashboard multirun/NAME"""
