"""What priors are made of: texts, depth pictures, converted checkpoints."""
