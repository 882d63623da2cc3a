"""What densifiers share."""
