"""What promptings share."""
