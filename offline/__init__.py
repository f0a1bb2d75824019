"""Logs in, evidence and training examples out: everything that is prepared before a request arrives.

logs/       the log schema, its validation, and the log tables on an engine
evidence/   histories, anchors, personal queries, intent, and the rows and examples made from them
embedder/   training of the embedder
summaries/  summaries of videos, from frames, text on screen, speech and a multimodal model
build/      all of it for one day, as a graph of steps that is resumed
cli.py      `onebar offline`
"""
