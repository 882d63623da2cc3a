"""Programs on run folders; each is a command `gsd NAME ...`."""
