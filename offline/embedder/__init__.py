"""The embedder: text to unit vectors, in one space for videos and queries (paper, 3.2).

vectors.py      the protocol, the hashed embedder, vectors of videos
relations.py    the pairs of Table 1, from the logs
tokenizer.py    the vocabulary of the static kind
loss.py         the in-batch contrastive loss
training.py     the staged training, by sentence-transformers
build.py        from relations to a folder, with a report by stage
transformer.py  the transformer kind
kept_vectors.py vectors of a slow embedder in a file
folder.py       an embedder's folder: writing, reading, version
retrieval.py    recall@k and MRR by relation on a held-out day
"""
