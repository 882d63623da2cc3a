"""Whether this process has been asked to end, for those who might ask it again: a second time would interrupt."""

import threading

ASKED = threading.Event()
