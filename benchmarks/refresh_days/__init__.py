"""Some days of a simulated shop: a live service under load, and `onebar refresh` beside it after each day.

shop.py      the shop, its log tables day by day, the first bundle, the settings of the refresh
visits.py    the impressions of a day as calls, and what their viewers do with the answers
dated.py     the events of the service, moved to the simulated day
live.py      the service: redis-servers, keys, `onebar serve`
load.py      the load, the phases of the run, the changes of the bundle that it sees
quality.py   HR@8 on new videos, by bundle and evidence
findings.py  the figures of a run, and which aims are met
__main__.py  the run
"""
