"""The parts of an instance that exist before it starts: loaded from files, checked, and shared by all requests.

Nothing here runs or holds a connection; ``service/serving.py`` starts what does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
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
from generation.scheduler import ROW_BUDGET, Scheduler
from generation.stepper import Stepper
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
        term_list: the prohibited terms as they were read, empty without a file.
        terms: the same, compiled for the policy.
        constraints: options and processors of every generation.
        policy: decides which hypotheses are shown, with the rules and the bundle of the start.
        key_ring: makes pseudonyms of user ids; None uses the ids themselves.
    """

    settings: Settings
    bundle: Bundle
    backend: Backend
    threads: int
    renderer: Renderer
    personal: PersonalSelector
    rules: Rules
    term_list: Sequence[Term]
    terms: ProhibitedTerms
    constraints: DecodingConstraints
    policy: Policy
    key_ring: KeyRing | None

    def with_bundle(self, folder: Path) -> Parts:
        """Load another bundle, and what depends on one. Rules, terms and pseudonyms stay as they are.

        The file of the query set is read again.

        Raises:
            BackendError: the wanted backend cannot run the bundle on this machine.
            BundleError: the bundle must not be served.
            ConfigurationError: the constraints of the settings cannot be used with it.
        """
        bundle = load_bundle(folder)
        return replace(self, **_of_bundle(self.settings, bundle, self.threads, self.term_list))

    def runs_like(self, other: Parts) -> bool:
        """Return whether the steps of both engines take the same time: sizes, arithmetic and widths are equal."""
        mine, theirs = (
            (
                parts.bundle.architecture, parts.bundle.precision, parts.backend, parts.threads,
                parts.bundle.generation.num_beams, parts.bundle.generation.max_new_tokens,
                parts.bundle.render_budgets.max_source_tokens,
            )
            for parts in (self, other)
        )  # fmt: skip
        return mine == theirs

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
        threads=threads,
        **_of_bundle(settings, bundle, threads, listed),
        rules=rules,
        term_list=listed,
        terms=terms,
        policy=Policy(rules, terms, bundle.reject_threshold),
        key_ring=_open_key_ring(settings),
    )


def build_scheduler(parts: Parts, stepper: Stepper | None = None) -> Scheduler:
    """Start the engine of the bundle. The caller closes it.

    Args:
        parts: the bundle, and how it is run.
        stepper: its graphs where they are loaded already.

    Raises:
        ConfigurationError: the decoding options contradict the bundle.
    """
    _check_options(parts)
    return Scheduler(parts.bundle, parts.threads, backend=parts.backend, stepper=stepper)


def load_stepper(parts: Parts, together: int | None = None) -> Stepper:
    """Load the graphs of the bundle in the calling thread, for ``build_scheduler``.

    Args:
        parts: the bundle, and how it is run.
        together: requests that go through the decoder graph at once; None measures the best number.

    Raises:
        BackendError: the backend cannot run the bundle on this machine.
        BundleError: a graph cannot be run.
        ConfigurationError: the decoding options contradict the bundle.
    """
    _check_options(parts)
    return Stepper(parts.bundle, parts.threads, ROW_BUDGET, parts.backend, together)


def _check_options(parts: Parts) -> None:
    try:
        check_options(parts.bundle, parts.constraints.options)
    except OptionsError as error:
        raise ConfigurationError(f"ONEBAR_DECODING__… cannot be used with this bundle: {error}.") from error


def _of_bundle(settings: Settings, bundle: Bundle, threads: int, terms: Sequence[Term]) -> dict[str, Any]:
    """Return the fields of ``Parts`` that another bundle changes, except the policy."""
    return {
        "bundle": bundle,
        "backend": choose_backend(bundle, threads, settings.backend),
        "renderer": Renderer(bundle.tokenizer, bundle.render_budgets),
        "personal": PersonalSelector(bundle.embedder, settings.personal),
        "constraints": load_decoding_constraints(settings, bundle, terms),
    }


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
