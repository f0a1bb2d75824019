"""Controls for the operators of a running service: API keys."""
