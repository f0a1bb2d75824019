"""Every setting of the service: one frozen tree, built in the entry point and handed down.

Each field is an environment variable with the prefix ``ONEBAR_``; a nested one takes two underscores:
``ONEBAR_EVENTS__SINK=redis_stream``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from evidence.embedding import PERSONAL_LIMIT
from feature_store import StoreSettings
from feature_store.schemes import EMBEDDED_SCHEMES, REDIS_SCHEMES, listed

MIN_DEADLINE_MS = 1
MAX_DEADLINE_MS = 10_000
MIB = 1024 * 1024
PREFIX = "ONEBAR_"


class _Branch(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FeatureStoreSettings(_Branch):
    """The feature store and how long a request waits for it."""

    url: str = Field(default="memory://", description=f"{listed((*REDIS_SCHEMES, *EMBEDDED_SCHEMES))}.")
    evidence: tuple[Path, ...] = Field(
        default=(), description="Files that are loaded at start; only for memory:// and sqlite://."
    )
    timeout_ms: float = Field(
        default=1000 * StoreSettings().timeout_seconds, gt=0, description="Longest wait of a request for the store."
    )
    share: float = Field(
        default=0.3,
        gt=0,
        le=1,
        description="Longest wait for the store as a share of the time that a request has left.",
    )


class PersonalSettings(_Branch):
    """The personal part of the evidence."""

    threshold: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="Cosine similarity with the video above which a past query is used; without it, the threshold "
        "tuned for the embedder of the bundle, or 0.2.",
    )
    limit: int = Field(
        default=PERSONAL_LIMIT, ge=0, le=64, description="Most past queries in the source; 0 leaves them out."
    )


class ResultCacheSettings(_Branch):
    """The cache of generations by input. A request with the input of a generation in progress waits for it."""

    max_bytes: int = Field(
        default=32 * MIB,
        ge=0,
        description="Memory of the cache, about 7 KB a generation; 0 turns it and the sharing off.",
    )
    ttl_seconds: float = Field(default=300.0, gt=0, description="Lifetime of a cached generation.")


class ConnectionSettings(_Branch):
    """Limits on connections, and on the size and the time of what a peer sends."""

    max_connections: int = Field(
        default=1024, ge=1, description="Open connections; the descriptor limit minus a reserve if that is less."
    )
    max_header_bytes: int = Field(default=16 * 1024, ge=1024, description="Request line and headers of a request.")
    max_headers: int = Field(default=100, ge=8, description="Header lines of a request.")
    headers_seconds: float = Field(default=5.0, gt=0, description="From connection or first byte to the last header.")
    body_seconds: float = Field(default=5.0, gt=0, description="From the last header to the last byte of the body.")
    reading_seconds: float = Field(default=10.0, gt=0, description="Longest time that a peer leaves its answer unread.")
    keep_alive_seconds: int = Field(
        default=75, gt=0, description="Idle time before a close; longer than that of common load balancers."
    )


class DecodingSettings(_Branch):
    """Constraints and options of decoding."""

    prohibited_terms: bool = Field(
        default=True, description="Whether decoding excludes the prohibited terms; the policy filters them in any case."
    )
    min_new_tokens: int | None = Field(
        default=None,
        ge=0,
        description="Tokens before a query may end; fewer than `max_new_tokens` of the bundle. Without it, as in the "
        "bundle.",
    )
    no_repeat_ngram_size: int | None = Field(
        default=None,
        ge=0,
        description="Length in tokens of the sequences that may not occur twice in a query; 0 allows all. "
        "Without it, as in the bundle.",
    )


class PrivacySettings(_Branch):
    """Pseudonyms of users in the store, in events and in logs."""

    key_file: Path | None = Field(
        default=None, description="File with the keys of pseudonyms; without one, memory:// gets a random key."
    )
    raw_user_ids: bool = Field(default=False, description="Whether user ids are used instead of pseudonyms.")


class EventSettings(_Branch):
    """The sink of events, and the limits of the queue and the spool in front of it."""

    sink: Literal["jsonl", "redis_stream", "none"] = Field(
        default="jsonl", description="Where events go: lines of a file, a Redis Stream, or nowhere."
    )
    path: str = Field(default="-", description="File of the jsonl sink, appended to; - is standard output.")
    max_file_bytes: int | None = Field(
        default=None, ge=MIB, description="Size from which the jsonl sink takes no more events; without it, no limit."
    )
    url: str | None = Field(default=None, description="Redis server of the stream; the redis_stream sink needs it.")
    stream: str = Field(default="onebar:events", min_length=1, description="Key of the stream.")
    stream_max_length: int = Field(default=1_000_000, gt=0, description="Entries after which the stream is trimmed.")
    stream_max_bytes: int = Field(
        default=256 * MIB, ge=MIB, description="Memory of the stream in Redis after which it is trimmed."
    )
    allow_store_server: bool = Field(
        default=False, description="Whether the stream may be on the server of the feature store."
    )
    spool_path: Path | None = Field(
        default=None,
        description="Folder for events that the sink did not take; the redis_stream sink needs it. "
        "One process uses it at a time.",
    )
    spool_max_bytes: int = Field(default=256 * MIB, ge=MIB, description="The most that the spool folder holds.")
    queue_size: int = Field(
        default=10_000, gt=0, description="Events that wait for the sink; more are dropped and counted."
    )
    queue_max_bytes: int = Field(
        default=16 * MIB,
        ge=64 * 1024,
        description="Bytes of events that wait for the sink; more are dropped and counted.",
    )
    max_event_bytes: int = Field(
        default=16 * 1024, ge=1024, le=64 * 1024, description="A larger event is dropped and counted."
    )


class ReviewSettings(_Branch):
    """The reviewer's API: recent answers, and changes of the rules file."""

    answers: int = Field(
        default=0, ge=0, le=10_000, description="Recent answers kept in memory, a few KB each; 0 keeps none."
    )
    public: bool = Field(default=False, description="Whether /review is on the public port as well.")
    without_key: bool = Field(
        default=False, description="Whether /review needs no key where both addresses are loopback ones; for a demo."
    )


class PromotionSettings(_Branch):
    """The record of the promoted bundle, and the requests that a bundle must answer before it is served."""

    folder: Path | None = Field(
        default=None,
        description="Folder of the record that `onebar bundle promote` writes. The service follows it, and serves "
        "`ONEBAR_BUNDLE` only where the record names no bundle.",
    )
    golden_requests: Path | None = Field(
        default=None,
        description="JSON Lines of request bodies that every good bundle answers; without it, `golden_requests.jsonl` "
        "of the bundle, or a few built-in ones.",
    )
    golden_share: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="Share of the golden requests that the served bundle answers (at a start: of all) that another"
        " bundle must answer too.",
    )


class ShadowSettings(_Branch):
    """A candidate bundle that answers a copy of some requests. Its answers are compared and never shown."""

    bundle: Path | None = Field(default=None, description="Folder of the candidate; without it, none runs.")
    share: float = Field(default=0.0, ge=0, le=1, description="Share of the requests that are copied; 0 runs none.")


class FeedbackSettings(_Branch):
    """Clicks, engagement and orders that callers report."""

    without_key: bool = Field(
        default=False,
        description="Whether /feedback needs no key where the public port is on a loopback address; for a demo.",
    )


class PageSettings(_Branch):
    """The page at `/` that shows a feed with its bars, and why a bar shows what it shows."""

    enabled: bool = Field(default=False, description="Whether the page is on the public port.")
    feed: Path | None = Field(
        default=None,
        description="The page's videos and viewers, from `onebar demo-feed`; without it, one enters a photo_id.",
    )
    reports: Path | None = Field(
        default=None, description="Folder with the JSON of evaluations, load tests and benchmarks, read at start."
    )


class Settings(BaseSettings):
    """The whole tree; ``onebar serve`` builds it from the environment and its options."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", env_ignore_empty=True
    )

    bundle: Path = Field(default=Path("demo/bundle"), description="The folder of the bundle.")
    host: str = Field(default="127.0.0.1", description="Address of the public port; 0.0.0.0 is all interfaces.")
    port: int = Field(default=8000, ge=0, le=65535, description="The public port; 0 takes a free port.")
    admin_host: str = Field(default="127.0.0.1", description="Address of the admin port; keep it inside the cluster.")
    admin_port: int = Field(
        default=8001, ge=0, le=65535, description="Health, metrics, version and docs; 0 takes a free port."
    )
    docs_public: bool = Field(default=False, description="Whether /docs is on the public port as well.")
    rules: Path | None = Field(default=None, description="YAML file of business rules.")
    prohibited_terms: Path | None = Field(
        default=None, description="File of prohibited terms, a category, a tab and a term a line."
    )
    query_set: Path | None = Field(default=None, description="File of queries, one a line; no others are generated.")

    default_deadline_ms: float = Field(
        default=25.0,
        ge=MIN_DEADLINE_MS,
        le=MAX_DEADLINE_MS,
        description="Deadline of a request that names none, from its arrival to its answer.",
    )
    response_reserve_ms: float = Field(
        default=1.0, ge=0, description="Part of the deadline reserved for policy and sending."
    )
    max_queue: int = Field(default=64, ge=1, description="Requests admitted at once; a further one gets 429.")
    max_body_bytes: int = Field(
        default=64 * 1024, ge=1024, description="Body of a request to /recommend; a larger one gets 413."
    )
    max_batch_body_bytes: int = Field(
        default=256 * 1024, ge=1024, description="Body of a request to /recommend/batch; a larger one gets 413."
    )
    intra_op_threads: int = Field(
        default=1, ge=0, le=64, description="Threads of ONNX Runtime; 0 means the cores of the control group."
    )
    backend: Literal["auto", "native", "onnxruntime"] = Field(
        default="auto", description="The backend of the engine; auto prefers the native kernels to ONNX Runtime."
    )
    keys: Path | None = Field(default=None, description="File of API keys that `onebar keys` wrote.")
    insecure: bool = Field(default=False, description="Whether other machines may call without a key.")
    explain_without_key: bool = Field(
        default=False, description="Whether `explain` needs no key on a loopback address; for a demo."
    )
    drain_seconds: float = Field(
        default=5.0, ge=0, description="Time after SIGTERM in which /readyz returns 503 and requests are answered."
    )
    shutdown_seconds: int = Field(default=15, ge=1, description="Longest time for requests in flight after the drain.")
    engine_stall_seconds: float = Field(
        default=2.0, gt=0, description="Time without a step of a busy engine after which /readyz returns 503."
    )
    engine_exit_seconds: float = Field(
        default=10.0,
        gt=0,
        description="Time without a step after which the process exits with 1, as it does when the engine ends.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important log lines that are written; they go to standard error."
    )

    connections: ConnectionSettings = ConnectionSettings()
    store: FeatureStoreSettings = FeatureStoreSettings()
    decoding: DecodingSettings = DecodingSettings()
    result_cache: ResultCacheSettings = ResultCacheSettings()
    personal: PersonalSettings = PersonalSettings()
    privacy: PrivacySettings = PrivacySettings()
    events: EventSettings = EventSettings()
    review: ReviewSettings = ReviewSettings()
    promotion: PromotionSettings = PromotionSettings()
    shadow: ShadowSettings = ShadowSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    page: PageSettings = PageSettings()
