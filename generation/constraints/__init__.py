"""What a search may write: no prohibited phrase, and where wanted nothing outside of a set of queries.

Both are logits processors (`generation.logits_processors`), compiled once and shared by all requests:
`prohibited.ProhibitedPhrases` from a list of terms, `query_set.load_query_set` from a file of queries.
docs/constraints.md says what they promise and cost.
"""
