"""`onebar recommend`: a video, or a file of captions, in; answers out."""
