"""One HTML file that shows a run or a sweep: python -m gsd.report FOLDER..."""

from gsd.report.page import write, write_table

__all__ = ["write", "write_table"]
