"""`onebar offline summaries`."""

from __future__ import annotations

import os
from pathlib import Path

import click

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_COUNT = click.IntRange(min=1)


@click.command()
@click.argument("videos", type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--files", type=_FOLDER, help="The folder with the video files. Without it, summaries come from texts.")
@click.option("--frames", default=6, show_default=True, type=click.IntRange(1, 24), help="Frames of a video, at most.")
@click.option("--workers", default=1, show_default=True, type=_COUNT, help="Files read at a time, one core each.")
@click.option("--speech-model", type=_FOLDER, help="A Whisper model in the format of CTranslate2.")
@click.option("--endpoint", help="URL of an OpenAI-compatible API, such as http://localhost:8000/v1.")
@click.option("--model", help="The multimodal model of the endpoint.")
@click.option("--price", type=(click.FloatRange(min=0), click.FloatRange(min=0)), metavar="IN OUT",
              help="Dollars for a million tokens of prompts and of answers; 0 0 for a server of your own.")  # fmt: skip
@click.option(
    "--max-cost", default=10.0, show_default=True, type=click.FloatRange(min=0), help="Dollars a run may cost."
)
@click.option("--concurrency", default=4, show_default=True, type=click.IntRange(1, 256), help="Requests at a time.")
@click.option("--requests-per-minute", default=0.0, type=click.FloatRange(min=0), help="The most requests a minute. "
              "Default: no limit.")  # fmt: skip
@click.option("--timeout", default=120.0, show_default=True, type=click.FloatRange(min=0.1), help="Seconds a request.")
@click.option("--max-answer-tokens", default=600, show_default=True, type=_COUNT, help="Tokens of an answer, at most.")
@click.option(
    "--image-tokens", default=1000, show_default=True, type=_COUNT, help="Tokens of a frame, for the estimate."
)
@click.option("--estimate", is_flag=True, help="Print what the requests would cost, and end.")
@click.option("--replace", is_flag=True, help="Also make summaries for the videos that have one.")
@click.option("--terms", type=_FILE, help="Prohibited terms. Default: prohibited_terms.tsv beside the table.")
@click.option("--grades", type=_FILE, help="The review file with the grades good, same, bad.")
@click.option("--day", default=0, show_default=True, help="The day of upload of videos without created_day.")
def summaries(
    videos: Path,
    out: Path,
    files: Path | None,
    frames: int,
    workers: int,
    speech_model: Path | None,
    endpoint: str | None,
    model: str | None,
    price: tuple[float, float] | None,
    max_cost: float,
    concurrency: int,
    requests_per_minute: float,
    timeout: float,
    max_answer_tokens: int,
    image_tokens: int,
    estimate: bool,
    replace: bool,
    terms: Path | None,
    grades: Path | None,
    day: int,
) -> None:
    """Make the summaries of VIDEOS (.parquet, .jsonl or a folder of log tables), and write them into the folder OUT.

    With --endpoint a multimodal model describes frames, speech and texts; its API key is read from the environment
    variable ONEBAR_SUMMARIES_API_KEY. Without it, or where it fails, the summary is composed from the text on screen,
    speech and texts. A second run into OUT does only what is new or has changed.

    \b
    onebar offline summaries logs build/summaries --files videos
    onebar offline summaries logs build/summaries --files videos \\
        --endpoint http://localhost:8000/v1 --model qwen2.5-vl --price 0 0
    """
    try:
        from offline.summaries.endpoint import KEY_VARIABLE, EndpointSettings
        from offline.summaries.frames import FrameSettings
        from offline.summaries.job import JobSettings, ModelSettings, summarize
        from offline.summaries.spending import Prices
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"summaries need the package {error.name!r}; install it with: pip install -e '.[summaries]'"
        ) from error

    asked = None
    if endpoint is not None:
        if model is None or price is None:
            raise click.UsageError("--endpoint needs --model and --price IN OUT (0 0 for a server of your own).")
        settings = EndpointSettings(
            url=endpoint,
            model=model,
            key=os.environ.get(KEY_VARIABLE, "").strip(),
            requests_per_minute=requests_per_minute,
            timeout_seconds=timeout,
        )
        asked = ModelSettings(settings, Prices(*price, image_tokens, max_answer_tokens), max_cost, concurrency)
    elif model is not None or price is not None or estimate:
        raise click.UsageError("--model, --price and --estimate need --endpoint URL.")
    job = JobSettings(
        files, FrameSettings(frames=frames), workers, speech_model, asked, replace, terms, grades, default_day=day
    )
    report = summarize(videos, out, job, say=click.echo, only_estimate=estimate)
    if report is not None:
        click.echo(report.to_text())
