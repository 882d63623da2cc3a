"""A user study on runs, as the paper's Table 1: python -m gsd.study make, serve, analyse."""
