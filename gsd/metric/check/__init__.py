"""What the metrics say of scenes whose right answer is known."""
