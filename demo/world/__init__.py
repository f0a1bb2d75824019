"""The simulator of a short-video shop: what is drawn once, the simulated days, and the log tables."""
