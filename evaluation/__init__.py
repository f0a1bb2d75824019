"""How good is it: metrics, baselines, and the reports that put a bundle beside them."""
