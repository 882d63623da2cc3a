"""One HTML file that shows a run or a sweep: python -m gsd.report FOLDER..."""

from gsd.report.page import write

__all__ = ["write"]
