"""The log tables of a platform.

schema.py      one Arrow schema for each table, with its keys, references and allowed values
engine.py      DuckDB or Spark, through Ibis
faults.py      what can be wrong with a row
intake.py      reading the tables: bad rows are set aside, too many of them are an error
coded.py       the tables with strings replaced by integer codes, in the engine
validation.py  the strict check of a table in memory
tables.py      reading and writing single tables in memory
"""
