"""The simulator: what is drawn once, the days that are played, the tables that are written."""
