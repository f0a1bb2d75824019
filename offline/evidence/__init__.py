"""Evidence made from the logs, as of any day, and the files made from it.

embedded_logs.py    the logs with their vectors; all settings of the evidence
histories.py        queries issued on a video
anchors.py          queries of the nearest other videos
personal.py         past queries of a user, and which of them resemble a video
intent.py           item-search intent of queries
safety_labels.py    videos known to be unsafe
ranked.py           the container of ranked query lists
store_rows.py       rows for the feature store
examples.py         training examples
examples_report.py  the report on a folder of examples
"""
