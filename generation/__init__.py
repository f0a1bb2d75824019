"""ONNX beam search over an exported encoder-decoder: source token ids in, ranked hypotheses out.

Nothing here knows HTTP, evidence stores or torch. `bundle.load_bundle` verifies a folder that `onebar export` wrote.

    scheduler   many requests at once (inbox: who comes, loop: its thread)   engine   one at a time
         └────────────────────┬─────────────────────────────────────────────────────┘
    stepper     requests on their way: begun, stepped together, ended
         ├── lane               memory of requests of one shape, and the step over them
         ├── backend            what runs the two graphs: native/, or session for ONNX Runtime
         ├── beam               the search of one request, on the host
         └── candidates         what it may go on with, under logits_processors and constraints/
"""

import os

# ONNX Runtime's wheels report to their maker unless told not to before they are first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
