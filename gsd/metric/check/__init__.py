"""The metrics' answers for scenes whose right answer is known."""
