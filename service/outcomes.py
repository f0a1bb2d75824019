"""The names of the possible outcomes of a request. They appear on the wire, in events, and as metric labels."""

from __future__ import annotations

from typing import Literal, get_args

Decision = Literal["recommend", "abstain"]
Reason = Literal["model_reject", "no_evidence", "all_filtered", "deadline"]
"""Why an answer shows nothing."""

Degradation = Literal[
    "feature_store_timeout",
    "feature_store_down",
    "feature_store_busy",
    "photo_field_unreadable",
    "user_unreadable",
    "shown_unreadable",
    "embedding_version",
    "no_embedding",
    "deadline",
]
"""The causes for which an answer is degraded: something was missing, or the deadline ended the generation."""

CacheLookup = Literal["hit", "joined", "miss"]

REASONS: tuple[Reason, ...] = get_args(Reason)
DEGRADATIONS: tuple[Degradation, ...] = get_args(Degradation)
CACHE_LOOKUPS: tuple[CacheLookup, ...] = get_args(CacheLookup)

STAGES = ("feature_store", "render", "queue", "encode", "decode", "policy", "total")
"""The request stages that ``timings_ms`` names, and their total."""

POLICY_RULES = (
    "reject_token",
    "unfinished",
    "unreadable",
    "empty",
    "duplicate",
    "prohibited_term",
    "blocked_query",
    "low_score",
    "too_short",
    "too_long",
    "recently_shown",
    "over_num_queries",
    "pinned",
)
"""The rules of the policy that can decide about a hypothesis."""

CONNECTION_CLOSES = (
    "too_many_connections",
    "idle_over_limit",
    "headers_too_large",
    "headers_timeout",
    "body_timeout",
    "malformed",
    "pipelined",
    "reading_timeout",
)
"""Why the server closed a connection that the peer kept open."""
