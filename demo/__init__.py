"""A simulated short-video shop to try OneBar with, its oracle, and the shipped demo."""
