"""What noisings share."""
