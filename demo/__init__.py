"""An open world to try OneBar in: a simulated short-video shop, its oracle, and the demo that is shipped."""
