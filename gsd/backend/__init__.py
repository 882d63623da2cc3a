"""Plumbing: compiled kernels and their threads, caches, devices, weights, mends of libraries."""
