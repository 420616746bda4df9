"""What is cooked: goals, each with the steps that lead to it."""

from __future__ import annotations

import numpy as np

RECIPES: dict[str, tuple[str, ...]] = {
    "make tea": ("fill kettle", "boil water", "take cup", "add tea", "pour water", "stir tea"),
    "make coffee": ("fill kettle", "boil water", "take cup", "add coffee", "pour water", "stir coffee"),
    "make salad": ("wash lettuce", "cut lettuce", "wash tomato", "cut tomato", "cut onion", "add oil", "stir salad"),
    "make soup": ("wash carrot", "cut carrot", "cut onion", "fill pot", "boil soup", "add salt", "stir soup"),
    "make pasta": ("fill pot", "boil water", "add salt", "add pasta", "stir pasta", "cut tomato", "add tomato"),
    "make sandwich": ("take plate", "take bread", "cut bread", "wash tomato", "cut tomato", "add tomato"),
}
"""Steps recur in several recipes, and verbs and nouns in several steps."""

ACTIONS: tuple[str, ...] = tuple(sorted({step for steps in RECIPES.values() for step in steps}))
GOALS: tuple[str, ...] = tuple(RECIPES)
VERBS: tuple[str, ...] = tuple(sorted({action.split()[0] for action in ACTIONS}))
NOUNS: tuple[str, ...] = tuple(sorted({action.split()[1] for action in ACTIONS}))

SKIPPED = 0.1
"""How often a step is left out."""
SWAPPED = 0.3
"""How often a recording has two neighbouring steps the other way round."""


def cooked(goal: str, draw: np.random.Generator) -> list[str]:
    """The steps of one recording, in their order."""
    steps = list(RECIPES[goal])
    if draw.random() < SWAPPED:
        first = int(draw.integers(len(steps) - 1))
        steps[first], steps[first + 1] = steps[first + 1], steps[first]
    kept = [step for step in steps if draw.random() >= SKIPPED]
    return kept if len(kept) >= 2 else steps
