"""Bilateral grids of colour transforms: slicing, by fused kernels on the CPU."""
