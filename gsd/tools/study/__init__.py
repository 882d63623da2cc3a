"""A user study on runs, as the paper's Table 1: gsd study make, serve, analyse."""
