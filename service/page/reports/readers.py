"""Turns what the commands of the project write (`onebar evaluate`, the load test, the benchmarks) into reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.page.reports import paper
from service.page.reports.ab_test import is_ab_test, read_ab_test
from service.page.reports.figures import short, table, tables_of
from service.page.reports.form import FORMAT, MAX_TABLES, Bar, Plot, Report, Table

METRICS = {
    "hr": "HR@8", "mrr": "MRR@8", "ed_hr": "ED-HR@8", "ed": "ED@8", "bleu": "BLEU@8", "bas": "BAS@8", "sr": "SR",
}  # fmt: skip
VIEWS = {"as_served": "as served", "decontaminated": "decontaminated"}
_DISTRIBUTION = ("count", "p50", "p90", "p95", "p99", "max")


def read_report(document: Any, name: str) -> Report:
    """Return the report of a JSON document.

    Args:
        document: of `onebar evaluate`, `onebar simulate`, the load test, a benchmark, or in the form of ``Report``.
        name: of its file, without the suffix.

    Raises:
        ValueError: it is none of these, or it has no figures.
        ValidationError: it is beyond the bounds of the form.
    """
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    if document.get("format") == FORMAT:
        return Report.model_validate(document)
    if _is_evaluation(document):
        return _evaluation(document, name)
    if is_ab_test(document):
        return read_ab_test(document)
    if isinstance(document.get("client_ms"), dict):
        return _load_test(document)
    return _benchmark(document, name)


def of_manifest(manifest: Mapping[str, Any]) -> Report | None:
    """Return the evaluation that `onebar record` wrote into the manifest of a bundle; None if there is none."""
    test = manifest.get("metrics", {}).get("test")
    if not isinstance(test, dict) or not isinstance(test.get("systems_at_8"), dict):
        return None
    systems = {
        system: {view: {name: {"mean": value} for name, value in figures.items()} for view, figures in views.items()}
        for system, views in test["systems_at_8"].items()
    }
    rest = {name: test[name] for name in ("reject", "reading_recall", "new_targets", "wrong_entities") if name in test}
    rest |= {f"unseen shop {shop}": world.get("systems_at_8", {}) for shop, world in test.get("unseen", {}).items()}
    return Report(
        title="Evaluation of the served bundle",
        command="onebar evaluate BUNDLE --examples EXAMPLES --out REPORT; onebar record BUNDLE REPORT.json",
        made=short(
            f"bundle {manifest.get('model_version')}, {test.get('clicks')} clicks on {test.get('videos')} videos"
        ),
        note=paper.NOTE,
        tables=[*_metric_tables(systems), paper.STAGES, *tables_of(rest)][:MAX_TABLES],
        plots=_metric_plots(systems),
    )


def _is_evaluation(document: Mapping[str, Any]) -> bool:
    return isinstance(document.get("systems"), dict) and isinstance(document.get("bundles"), dict)


def _evaluation(document: Mapping[str, Any], name: str) -> Report:
    systems = document["systems"]
    tables = [*_metric_tables(systems), paper.STAGES]
    for bundle, reading in document.get("reading", {}).items():
        rows = [
            [part, found["clicks"], *(value["mean"] for value in found["recall"].values())]
            for part, found in reading.items()
        ]
        heads = list(next(iter(reading.values()))["recall"]) if reading else []
        tables.append(table(f"reading recall of {bundle}", ["target stands in", "clicks", *heads], rows))
    for bundle, found in document.get("abstention", {}).items():
        plain = {key: value for key, value in found.items() if not isinstance(value, dict | list)}
        tables.append(table(f"[REJECT] of {bundle}", ["figure", "value"], list(plain.items())))
    for world, found in document.get("unseen", {}).items():
        tables += [
            part.model_copy(update={"title": short(f"unseen shop {world}, {part.title}")})
            for part in _metric_tables(found["systems"])
        ]
    bundles = ", ".join(f"{bundle} {found.get('model_version', '')}" for bundle, found in document["bundles"].items())
    return Report(
        title=short(f"Evaluation {name}"),
        command="onebar evaluate BUNDLES --examples EXAMPLES --out REPORT",
        made=short(f"{bundles}; {document.get('examples')} clicks on {document.get('videos')} videos"),
        note=paper.NOTE,
        tables=tables[:20],
        plots=_metric_plots(systems),
    )


def _metric_tables(systems: Mapping[str, Any]) -> list[Table]:
    found = []
    for view, title in VIEWS.items():
        measured = {name: views[view] for name, views in systems.items() if view in views}
        metrics = [metric for metric in METRICS if any(metric in figures for figures in measured.values())]
        rows = [[name, *(_mean(figures.get(metric)) for metric in metrics)] for name, figures in measured.items()]
        if rows:
            found.append(table(title, ["system", *(METRICS[metric] for metric in metrics)], rows))
    return found


def _metric_plots(systems: Mapping[str, Any]) -> list[Plot]:
    plots = []
    for view, title in VIEWS.items():
        bars = [_bar(name, views[view]["hr"]) for name, views in systems.items() if "hr" in views.get(view, {})]
        if bars:
            beside = paper.HR_AT_8 if view == "decontaminated" else ()
            plots.append(Plot(title=f"HR@8, {title}", bars=[*bars[:30], *beside]))
    return plots


def _mean(figure: Any) -> Any:
    return figure.get("mean") if isinstance(figure, dict) else figure


def _bar(label: str, figure: Mapping[str, Any]) -> Bar:
    low, high = figure.get("interval", (None, None))
    return Bar(label=short(label), value=float(figure["mean"]), low=low, high=high)


def _load_test(document: Mapping[str, Any]) -> Report:
    parts = {"client_ms": "at the client, ms", "stages_ms": "stages, ms"}
    tables = []
    for part, title in parts.items():
        rows = [
            [name, *(found.get(column) for column in _DISTRIBUTION)] for name, found in document.get(part, {}).items()
        ]
        if rows:
            tables.append(table(title, ["", *_DISTRIBUTION], rows))
    counts = [
        (f"{part}: {name}", count)
        for part in ("decisions", "degraded", "cache")
        for name, count in document.get(part, {}).items()
    ]
    counts += [(name, document[name]) for name in ("answers", "refused") if name in document]
    tables.append(table("answers", ["outcome", "count"], counts))
    whole = document["client_ms"].get("/recommend", {})
    bars = [Bar(label=name, value=float(whole[name])) for name in _DISTRIBUTION[1:] if name in whole]
    rate, seconds, store = (document.get(name) for name in ("rate", "seconds", "store"))
    return Report(
        title="Load test",
        command=f"python -m loadtest.run --rate {rate:g} --seconds {seconds:g}"
        if rate and seconds
        else "python -m loadtest.run",
        made=_made(document),
        note=short(f"store: {store}. " + ("; ".join(document.get("missed", [])) or "The objective was met.")),
        tables=tables,
        plots=[Plot(title="POST /recommend at the client", unit="ms", bars=[*bars, paper.BUDGET_MS])] if bars else [],
    )


def _benchmark(document: Mapping[str, Any], name: str) -> Report:
    tables = tables_of(document)
    if not tables:
        raise ValueError("it has no figures")
    title = str(document.get("benchmark", name))
    beside = [paper.ABLATION] if title.startswith("ablation") else []
    return Report(
        title=short(f"Benchmark {title}" if "benchmark" in document else title),
        command=short(f"python -m benchmarks.{title}") if "benchmark" in document else None,
        made=_made(document),
        note=paper.NOTE if beside else None,
        tables=[*beside, *tables][:24],
    )


def _made(document: Mapping[str, Any]) -> str | None:
    machine = document.get("machine", {})
    machine = machine if isinstance(machine, dict) else {}
    commit = document.get("commit", machine.get("commit"))
    processor = machine.get("cpu", machine.get("processor"))
    parts = [
        document.get("finished"),
        f"commit {commit}" if commit else None,
        processor,
        f"{machine['cores']} cores" if "cores" in machine else None,
    ]
    return short(", ".join(str(part) for part in parts if part)) or None
