"""What operators control while the service runs: API keys."""
