"""`onebar`: the console command. Every job of the project is a subcommand.

A subcommand is imported only when it is called, so `onebar serve` does not need the packages of training.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from cli.errors import message_for

# subcommand -> (module, attribute, the extra with its dependencies, help line)
COMMANDS: dict[str, tuple[str, str, str, str]] = {
    "demo": ("cli.serve_demo", "demo", "serve", "Serve the shipped demo with the embedded store."),
    "serve": ("service.cli", "serve", "serve", "Serve POST /recommend."),
    "recommend": ("client.cli", "recommend", "serve", "Ask a running service for queries, for one video or a file."),
    "feedback": ("client.cli", "feedback", "serve", "Report a click, engagement or an order to a running service."),
    "bundle": ("service.operating.bundle_cli", "bundle", "serve", "Change the bundle that running services serve."),
    "keys": ("service.operating.cli", "keys", "serve", "Make, list and withdraw API keys."),
    "rules": ("service.cli", "rules", "serve", "Check a file of business rules."),
    "doctor": ("cli.doctor", "doctor", "serve", "Check this machine, a bundle and a store."),
    "evidence": ("feature_store.cli", "evidence", "serve", "Load and inspect cached evidence."),
    "privacy": ("feature_store.privacy_cli", "privacy", "serve", "Make and rotate the keys of user pseudonyms."),
    "erase": ("feature_store.privacy_cli", "erase", "serve", "Remove a person from the store and from events."),
    "world": ("demo.cli", "world", "offline", "Write the logs of a simulated short-video shop."),
    "world-report": ("demo.cli", "world_report", "offline", "Measure the properties of a simulated world."),
    "demo-evidence": ("demo.cli", "demo_evidence", "offline", "Reduce a world's evidence to that of the shipped demo."),
    "demo-feed": ("demo.cli", "demo_feed", "offline", "Write the feed of the demo page."),
    "events": ("offline.events.command", "events", "offline", "Turn the events of the service into log tables."),
    "offline": ("offline.cli", "offline", "offline", "Turn logs into evidence and training examples."),
    "train": ("training.cli", "train", "train", "Train the tokenizer and the generator."),
    "export": ("model_export.cli", "export", "export", "Turn a checkpoint into a bundle."),
    "restore": ("model_export.cli", "restore", "export", "Turn a bundle back into a checkpoint, to train on from."),
    "record": ("model_export.cli", "record_command", "export", "Write evaluation results into a bundle's manifest."),
    "refresh": ("refresh.command", "refresh", "offline", "Train on a day's events; promote a bundle that is no worse."),
    "gate": ("evaluation.gate_cli", "gate", "offline", "Say whether a bundle may replace the one that is served."),
    "evaluate": ("evaluation.cli", "evaluate", "offline", "Measure a bundle on held-out examples."),
    "simulate": ("evaluation.simulation.command", "simulate", "offline", "Play an A/B test on a simulated shop."),
}


class LazyGroup(click.Group):
    """A click group that imports a subcommand only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all subcommands, without importing them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return a subcommand.

        Args:
            ctx: the click context.
            name: of the subcommand.

        Returns:
            The command, or None if there is none of that name.

        Raises:
            click.ClickException: a package that the subcommand needs is not installed.
        """
        if name not in COMMANDS:
            return None
        module, attribute, extra, _ = COMMANDS[name]
        try:
            command: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"`onebar {name}` needs the package {error.name!r}; install it with: pip install -e '.[{extra}]'"
            ) from error
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand. An error that the user can correct becomes one sentence.

        Raises:
            click.ClickException: such an error, with the sentence as its message.
        """
        try:
            return super().invoke(ctx)
        except Exception as error:
            message = message_for(error, ctx.invoked_subcommand)
            if message is None:
                raise
            raise message from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands from `COMMANDS`, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, _, line) in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="onebar")
def main() -> None:
    """OneBar suggests search queries for the bar below a short video.

    \b
    Start the demo:    onebar demo
    Ask for queries:   onebar recommend --url http://localhost:8000 PHOTO_ID
    Every subcommand:  onebar COMMAND --help
    """


if __name__ == "__main__":
    sys.exit(main())
