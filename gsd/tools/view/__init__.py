"""gsd view: a run folder in the browser."""
