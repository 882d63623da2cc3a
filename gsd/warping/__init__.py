"""Maps of neighbouring views compared through the rendered depth."""
