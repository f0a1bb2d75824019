"""`POST /recommend`: settings, the parts of an instance, and its life from start to stop."""
