"""`onebar recommend`: asks a running service for the queries of one video or of a file of captions."""
