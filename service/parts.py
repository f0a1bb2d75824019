"""The parts of an instance that exist before it starts: loaded from files, checked, and shared by all requests.

Nothing here runs or holds a connection; ``service/serving.py`` starts what does.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import Any

from evidence.errors import EvidenceError
from evidence.render import Renderer
from evidence.safety import ProhibitedTerms
from evidence.term_list import Term, load_terms
from feature_store.errors import PrivacyError
from feature_store.pseudonym import KeyRing, open_key_ring, random_key_ring
from feature_store.schemes import LASTING_SCHEMES
from generation.backend import Backend, choose_backend
from generation.bundle import Bundle, load_bundle
from generation.cores import available_cores
from generation.errors import OptionsError
from generation.request import check_options
from generation.scheduler import Scheduler
from service.answering.decoding import DecodingConstraints, load_decoding_constraints
from service.answering.personal import PersonalSelector
from service.answering.policy import Policy
from service.answering.rules import Rules, load_rules
from service.errors import ConfigurationError
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """The files that the settings name, loaded and checked.

    Attributes:
        settings: the whole tree.
        bundle: the model, its tokenizer, its defaults and its embedder.
        backend: ``native`` or ``onnxruntime``.
        threads: number of threads of ONNX Runtime, at least 1.
        renderer: renders evidence as source, with the tokenizer and the budgets of the bundle.
        personal: selects the personal queries, with the embedder of the bundle.
        rules: the business rules, empty without a file.
        terms: the prohibited terms, empty without a file.
        constraints: options and processors of every generation.
        policy: decides which hypotheses are shown.
        key_ring: makes pseudonyms of user ids; None uses the ids themselves.
    """

    settings: Settings
    bundle: Bundle
    backend: Backend
    threads: int
    renderer: Renderer
    personal: PersonalSelector
    rules: Rules
    terms: ProhibitedTerms
    constraints: DecodingConstraints
    policy: Policy
    key_ring: KeyRing | None

    @property
    def shown_window_seconds(self) -> int | None:
        """Seconds for which a shown query is not shown again to the same user; None without such a rule."""
        return self.rules.recently_shown.window_seconds if self.rules.recently_shown else None

    def versions(self) -> dict[str, str | None]:
        """Return the versions that every event has."""
        return {
            "model_version": self.bundle.model_version,
            "rules_version": self.rules.version,
            "embedding_version": self.bundle.embedder.version,
            "constraints_version": self.constraints.version,
        }

    def describe(self) -> dict[str, Any]:
        """Return the body of ``/version`` (``wire.VersionResponse``)."""
        return self.versions() | {
            "service_version": metadata.version("onebar"),
            "precision": self.bundle.precision,
            "backend": self.backend,
            "prohibited_terms": len(self.terms),
            "constraints": self.constraints.to_wire(),
        }


def build_parts(settings: Settings) -> Parts:
    """Load and check the bundle, the rules, the prohibited terms and the constraints.

    Raises:
        BackendError: the wanted backend cannot run the bundle on this machine.
        BundleError: the bundle must not be served.
        ConfigurationError: rules, terms, constraints or the key of pseudonyms cannot be used.
    """
    bundle = load_bundle(settings.bundle)
    threads = settings.intra_op_threads or available_cores()
    rules = load_rules(settings.rules) if settings.rules else Rules()
    listed = _read_terms(settings)
    terms = ProhibitedTerms(listed)
    return Parts(
        settings=settings,
        bundle=bundle,
        backend=choose_backend(bundle, threads, settings.backend),
        threads=threads,
        renderer=Renderer(bundle.tokenizer, bundle.render_budgets),
        personal=PersonalSelector(bundle.embedder, settings.personal),
        rules=rules,
        terms=terms,
        constraints=load_decoding_constraints(settings, bundle, listed),
        policy=Policy(rules, terms, bundle.reject_threshold),
        key_ring=_open_key_ring(settings),
    )


def build_scheduler(parts: Parts) -> Scheduler:
    """Start the engine of the bundle. The caller closes it.

    Raises:
        ConfigurationError: the decoding options contradict the bundle.
    """
    try:
        check_options(parts.bundle, parts.constraints.options)
    except OptionsError as error:
        raise ConfigurationError(f"ONEBAR_DECODING__… cannot be used with this bundle: {error}.") from error
    return Scheduler(parts.bundle, parts.threads, backend=parts.backend)


def _open_key_ring(settings: Settings) -> KeyRing | None:
    privacy = settings.privacy
    outlives_the_process = settings.store.url.partition("://")[0] in LASTING_SCHEMES
    if not outlives_the_process and privacy.key_file is None and not privacy.raw_user_ids:
        return random_key_ring()
    try:
        return open_key_ring(privacy.key_file, raw_user_ids=privacy.raw_user_ids)
    except PrivacyError as error:
        raise ConfigurationError(str(error)) from error


def _read_terms(settings: Settings) -> list[Term]:
    try:
        return load_terms(settings.prohibited_terms) if settings.prohibited_terms else []
    except EvidenceError as error:
        raise ConfigurationError(str(error)) from error
