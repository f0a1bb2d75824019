"""How fast is the engine compared with what else can serve an encoder-decoder with beam search on a CPU?

    python -m benchmarks.peers --output benchmarks/results/peers.json
    python -m benchmarks.peers.report benchmarks/results/peers.json --into docs/benchmarks.md

transformers, optimum's ONNX Runtime, CTranslate2 int8 and the engine answer the same sources from the same checkpoint,
one compute thread each, in one process: one request at a time, then for 4 and for 16 clients that each ask again as
soon as they are answered. The contenders take turns in rounds, so that whatever else the machine does falls on all.

    machine     what the figures depend on
    models      the checkpoint of each size, and what each contender makes of it
    contenders  one way of answering, behind one interface
    clients     clients that ask again as soon as they are answered
    tuning      CTranslate2's best settings on this machine, the best batch of each
    measure     the rounds of one size
    figures     percentiles, ratios, and the targets they are compared with
    report      a result as Markdown and as a plot
"""
