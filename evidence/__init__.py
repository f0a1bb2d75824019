"""What a trigger is, and the one text that a model reads of it (paper, section 3.2 and eq. 4).

Training and serving both come here: nothing else in the project cleans text, embeds a short text or renders a
source. The package imports nothing internal.
"""
