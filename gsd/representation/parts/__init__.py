"""What representations share."""
