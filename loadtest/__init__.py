"""Load on a running OneBar: traffic like a feed's, answers that are checked, and a gate on the objective.

``python -m loadtest.run`` starts everything, runs a minute and judges it; ``python -m loadtest.open_loop`` looks for
the rate at which the objective breaks. Both speak HTTP to the service and read files; they import none of its code.
"""
