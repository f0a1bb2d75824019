"""Measures bundles and baselines on held-out clicks: metrics, systems, reports."""
