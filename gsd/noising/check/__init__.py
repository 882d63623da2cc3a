"""The bench that holds a noising to what it claims."""
