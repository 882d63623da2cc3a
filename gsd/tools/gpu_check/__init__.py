"""gsd gpu-check: what holds on a GPU, and what it costs there, in one command of some minutes.

`check.py` runs the stages of `stages.py`, which is the list to read first; each stage is a file.
"""
