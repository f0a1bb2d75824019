"""Stage III: preference-internalized on-policy distillation, PIOPD (section 3.4.3, paper).

posterior.py    the teacher's source: the student's, with the clicked queries in it
rollouts.py     trajectories that the student samples
losses.py       divergences, entropy and R-Drop as pure functions, eq. (12) to (15)
diagnostics.py  how teacher and student differ on a validation sample
stage.py        the stage, eq. (16)
"""
