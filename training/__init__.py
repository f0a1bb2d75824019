"""Training: examples in, checkpoint out.

tokenizer.py      a byte-level BPE learnt from the logs
policy_config.py  configuration of Stages II and III
data.py           examples packed once into integer arrays, batches by length
noising.py        text infilling and segment permutation (BART's denoising)
model.py          the BART that every stage trains
initial_model.py  the model that a stage begins with
losses.py         pure functions, eq. (5) of the paper
loop.py           the loop that all stages share: schedule, precision, resume, metrics
pretrain.py       Stage 0, denoising
sft.py            Stage I, content-grounded supervised fine-tuning
averaging.py      the mean of a foundation and its adaptation
policy.py         the checkpoint that Stages II and III continue
preference/       Stage II, list-wise preference alignment
piopd/            Stage III, on-policy distillation from a teacher that knows the clicks
validation.py     HR@8 by beam search, precision and recall of [REJECT]
checkpoint.py     the checkpoint folder, which export and evaluation read
"""
