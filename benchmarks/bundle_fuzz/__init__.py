"""Random faults in a bundle: each must be refused with one sentence, or run with results of the right shapes.

python -m benchmarks.bundle_fuzz --mutations 5000
"""
