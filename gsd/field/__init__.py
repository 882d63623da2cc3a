"""A radiance field: hash grid, small networks, occupancy grid, ray marching and compositing.

Tensors over M samples are planes, [K, M]: a level of the hash grid, a channel and a row of a network's output are then
each contiguous, and a network's layer is one product W x.
"""
