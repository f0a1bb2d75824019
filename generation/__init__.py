"""ONNX beam search over an exported encoder-decoder: source token ids in, ranked hypotheses out.

Nothing here knows HTTP, evidence stores or torch. The way through it: `bundle.load_bundle` verifies a folder that
`onebar export` wrote, `engine.Engine` runs its two graphs, `beam.BeamSearch` is the search itself.
"""
