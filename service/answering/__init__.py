"""From a validated request to an answer: evidence, generation and policy, within one deadline."""
