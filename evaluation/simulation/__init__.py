"""A/B tests by simulation: a demo world plays days against two systems behind one click model (docs/simulation.md).

evidence.py    what the systems read on a day, from the files that serving loads
traffic.py     who watches what on a day, with which intent; the same random numbers for every system
meanings.py    what a query of any system means to a viewer of the shop
arms.py        the two systems, and the bars that they would show
exposure.py    which bars are shown, under a CTR constraint
outcomes.py    clicks, orders and utility of the bars
intervals.py   bootstrap over viewers
experiment.py  A/A, A/B, slices
bad_cases.py   bad cases by rule
play.py        a whole simulation
report.py      its result as Markdown
command.py     `onebar simulate`
"""
