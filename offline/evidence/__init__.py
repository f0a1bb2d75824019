"""Evidence made from the logs, as of any day, and the files made from it.

embedded_logs.py    the logs with their vectors; all settings of the evidence
histories.py        queries issued on a video
anchors.py          queries of the nearest other videos
personal.py         which past queries of a user resemble a video
user_histories.py   past queries of a user
intent.py           item-search intent of queries
safety_labels.py    videos known to be unsafe
ranked.py           the container of ranked query lists
ranked_tables.py    ranking in the engine
store_rows.py       rows for the feature store
example_rows.py     which rows of the logs become examples
examples.py         training examples
examples_report.py  the report on a folder of examples
query_records.py    how queries did on videos: counts by day, historical CTR
list_candidates.py  the candidates of behaviour lists and their levels
list_order.py       one candidate a level, in an order that the CTR does not contradict
behaviour_lists.py  behaviour lists
lists_report.py     the report on a folder of lists
"""
