"""The log tables of a platform.

schema.py      one Arrow schema for each table, with its keys and allowed values
validation.py  whether a table follows its schema
tables.py      reading and writing Parquet files
coded.py       all tables in memory, with strings replaced by integer codes
"""
