"""Training: examples in, checkpoint out.

tokenizer.py   the domain's own byte-level BPE
data.py        examples packed once into integer arrays, batches by length
noising.py     text infilling and segment permutation (BART's denoising)
model.py       the BART that everything trains, from scratch or from a local checkpoint
losses.py      pure functions, eq. (5) of the paper
loop.py        the loop that both stages share: schedule, precision, resume, metrics
pretrain.py    Stage 0, denoising
sft.py         Stage I, content-grounded supervised fine-tuning
validation.py  HR@8 by beam search, and how well [REJECT] is known
checkpoint.py  the checkpoint folder, which export and evaluation read
"""
