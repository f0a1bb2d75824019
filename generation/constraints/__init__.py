"""Constraints on decoding: no prohibited phrase and, as an option, only queries of a given set.

Both are logits processors (`generation.logits_processors`), compiled once and shared by all requests:
`prohibited.ProhibitedPhrases` from a list of terms, `query_set.load_query_set` from a file of queries.
docs/constraints.md has their guarantees and their cost.
"""
