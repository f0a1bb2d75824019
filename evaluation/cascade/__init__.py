"""The multi-stage cascade (MCA), the baseline of the paper's A/B test, trained from logs.

recall.py     candidates from five sources
features.py   what the ranker knows of a candidate
ranker.py     the CTR ranker, gradient boosting
stages.py     recall, relevance filter, ranker, risk filter, one after another
"""
