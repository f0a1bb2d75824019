"""ONNX beam search over an exported encoder-decoder: source token ids in, ranked hypotheses out.

Nothing here knows HTTP, evidence stores or torch. The way through it: `bundle.load_bundle` verifies a folder that
`onebar export` wrote, `engine.Engine` runs its two graphs, `beam.BeamSearch` is the search itself.
"""

import os

# ONNX Runtime's wheels report to their maker unless told not to before they are first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
