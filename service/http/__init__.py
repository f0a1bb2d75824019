"""The HTTP side: routes, bodies, errors, and the server. Nothing else in the project knows HTTP."""
