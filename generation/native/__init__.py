"""Kernels of our own for int8 bundles on CPUs with AVX-512 VNNI: both graphs as one call each (docs/adr/0024)."""
