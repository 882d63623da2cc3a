"""What a prior makes of a prompt, before a run: `gsd view-words`."""
