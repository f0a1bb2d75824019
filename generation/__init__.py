"""ONNX beam search over an exported encoder-decoder: source token ids in, ranked hypotheses out.

Nothing here knows HTTP, evidence stores or torch. `bundle.load_bundle` verifies a folder that `onebar export` wrote.

    request     what is asked for: a source, options, a deadline, constraints
         │
    scheduler   many requests at once                                        engine   one at a time
      inbox       requests inside           loop        its thread              │
      forecaster  when a new one is done    pace        measured durations      │
         └────────────────────┬─────────────────────────────────────────────────┘
    stepper     runs the model for the active requests
         ├── progress           one active request: its search, its constraints, its slot in a lane
         ├── lane               memory of requests of one shape, and the step over them
         ├── backend            what runs the two graphs: native/, or session for ONNX Runtime
         ├── beam               the search of one request, on the host
         └── candidates         the continuations it may take, under logits_processors and constraints/
"""

import os

# ONNX Runtime's wheels send telemetry unless this is set before their first import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
