"""Random and hostile requests over sockets, sent to a running service, and a verdict on each answer."""
