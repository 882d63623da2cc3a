"""What writes a run folder: the run itself and the watchers of its loop."""
