"""Reports of evaluations, load tests and benchmarks, read from their JSON for the page."""
