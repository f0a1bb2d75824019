"""`onebar offline build`: all offline steps for one day, as a graph of steps that is resumed (docs/offline_build.md).

command.py   the command
plan.py      which steps a build has, and what each of them reads, runs and writes
graph.py     which steps must run, and running them
manifest.py  what each step was made from, what it wrote and what it cost: OUT/manifest.json
contents.py  hashes of inputs and outputs
versions.py  versions of the code and of the libraries that decide what a step writes
days.py      the table report, and the days of an increment
shared.py    the logs and their vectors, read once for all steps
summary.py   the step that makes summaries
estimate.py  time, memory and disk of each step, before it starts
measure.py   seconds and peak memory of a step
lock.py      one build at a time for a folder
errors.py    errors of this package
"""
