"""POST /recommend: the wire, the pipeline, the policy, and what watches them."""
