"""What operators see of the service: metrics, events and logs."""
