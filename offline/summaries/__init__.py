"""Summaries of videos: frames, text on screen, speech and, if there is one, a multimodal model (docs/summaries.md).

videos.py    the rows of the input, and their video files
frames.py    frames sampled from a video file
ocr.py       text on frames
speech.py    speech text of an audio track
prompt.py    what the model is asked, and what it answered
endpoint.py  requests to an OpenAI-compatible endpoint
spending.py  the estimate of a run, and its limit
journal.py   what is done: results by content, and money spent
compose.py   one summary from what is known of a video
grades.py    the review file with the grades good, same, bad
safety.py    safety labels, and the list of videos that wait for a review
work.py      one video after another, several at a time
outputs.py   the files of the folder OUT, and the report
job.py       a whole run
command.py   `onebar offline summaries`
"""
