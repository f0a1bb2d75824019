"""Logs in, evidence and training examples out: everything that is prepared before a request arrives."""
