"""One HTML file that shows a run or a sweep: gsd report FOLDER..."""

from gsd.tools.report.page import write, write_table

__all__ = ["write", "write_table"]
