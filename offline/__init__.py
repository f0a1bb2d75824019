"""Logs in, evidence and training examples out: everything that is prepared before a request arrives.

logs/        the log schema, its validation, and the log tables in memory
evidence/    histories, anchors, personal queries, intent, and the rows and examples made from them
summaries/   summaries of videos, from frames, text on screen, speech and a multimodal model
embedder.py  text to vectors
cli.py       `onebar offline`
"""
