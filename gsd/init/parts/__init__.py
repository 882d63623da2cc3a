"""What starts share: clouds and sampled models."""
