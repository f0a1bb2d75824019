"""The HTTP interface: routes, bodies, errors, and the server. The other packages do not depend on HTTP."""
