"""The event log of the service, turned into log tables: what was shown, to whom, and what became of it.

sources    lines of the event log, from files or from a Redis Stream
staging    lines in, rows of answers, offered queries and feedback out
viewers    user ids behind pseudonyms
joining    feedback meets the answers that it names
export     the tables `impressions` and `exposures` by day, and a report
"""
