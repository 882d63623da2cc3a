"""What guidances share: branches, inversion, LoRA, weights and clipping."""
