"""What is left to gain: the time of a decoder step and of encoding, beside what reading the weights alone must take.

    python -m benchmarks.roofline --output benchmarks/results/roofline.json --into docs/benchmarks.md
    python -m benchmarks.roofline --bundle build/bundle

A step reads every weight of the decoder once, whatever the number of rows. Three floors stand under it:

    reading     the bytes of the weights over the bandwidth of reading a buffer of that size, again and again: a decoder
                of 4 MB never leaves the third-level cache, one of 60 MB comes from memory each time
    arithmetic  multiplications over the rate at which this machine does them in one large int8 (or fp32) product
    products    ONNX Runtime doing nothing but the graph's products of weights, in a graph of their own

One thread each. What stands between the products and the measured time is attention, normalisation, quantising
activations, top-k, the calls, and the host's search.
"""
