"""Stage II: list-wise preference alignment (section 3.4.2, paper).

lists.py   behaviour lists packed into integer arrays, and their batches
losses.py  eq. (6) to (10) as a pure function
stage.py   the stage
"""
