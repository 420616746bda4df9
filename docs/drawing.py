"""Draws docs/images/trunk.png from a real batch: `python docs/drawing.py`."""

from pathlib import Path

import numpy as np
from gad_heads.plugin import Gad
from gad_labels.plugin import Text
from matplotlib.patches import FancyBboxPatch

from gad_core.contracts.batch import TRUNK, Batch
from gad_core.contracts.values import Clip, LabelRef, LabelSpace, Prompt, Query, Sample, Slot, Stage
from gad_core.data.features import ArrayFeatures
from gad_core.model.sequence import Assembler, Writing
from gad_core.report.style import INK, MUTED, PALETTE, make_figure, save, titled
from gad_core.testing import WordTokenizer

FILL = {
    Slot.PROMPT: "#c9ced6",
    Slot.FRAMES: PALETTE[5],
    Slot.CLS: PALETTE[1],
    Slot.CUE: "#e9d8ec",
    Slot.ANSWER: PALETTE[3],
    Slot.EOS: PALETTE[3],
}


def assembled() -> tuple[Batch, WordTokenizer]:
    """GAD in training: six frames, asked about the third and the sixth."""
    actions = LabelSpace("action", ("cut tomato", "wash pan"))
    prompt = Prompt(before="What now?", cue="\nAnswer:")
    text = WordTokenizer([prompt.before, prompt.cue, *(f" {label}" for label in actions.labels)])
    assembler = Assembler(
        head=Gad(), text=text, spaces={"current": actions}, prompts={"current": prompt},
        writing=Writing(Text().codebook([actions], text)),
    )  # fmt: skip
    queries = tuple(Query(at, {"current": (LabelRef("action", label),)}) for at, label in ((3, 0), (6, 1)))
    features = ArrayFeatures({"r": np.zeros((6, 1, 4), dtype=np.float32)}, fps=4.0)
    return assembler([Sample("r", Clip("r", range(6)), "current", queries)], features, Stage.TRAIN), text


def names(batch: Batch, text: WordTokenizer) -> list[str]:
    """What to write into each token."""
    special, frames, found = {Slot.CLS: "[CLS]", Slot.EOS: "EOS"}, 0, []
    for token, slot in zip(batch.tokens[0].tolist(), batch.slots[0].tolist(), strict=True):
        frames += slot == Slot.FRAMES
        word = "BOS" if token == text.bos else text.decode([token]).replace("\n", "↵").strip()
        found.append(f"f{frames}" if slot == Slot.FRAMES else special.get(Slot(slot), word))
    return found


def main() -> None:
    """The sequence as a tree, and who sees whom."""
    batch, text = assembled()
    words, slots = names(batch, text), [Slot(slot) for slot in batch.slots[0].tolist()]
    node, position = batch.node[0].tolist(), batch.positions[0].tolist()
    figure = make_figure(11, 4.6)
    tree, mask = figure.subplots(1, 2, width_ratios=(1.45, 1))
    for word, slot, where, place in zip(words, slots, node, position, strict=True):
        box = FancyBboxPatch((place + 0.06, -1.5 * where), 0.88, 0.9, boxstyle="round,pad=0,rounding_size=0.12",
                             facecolor=FILL[slot], edgecolor="none")  # fmt: skip
        tree.add_patch(box)
        tree.text(place + 0.5, 0.45 - 1.5 * where, word, ha="center", va="center", fontsize=6, color=INK)
    for branch in sorted(set(node) - {TRUNK}):
        first = next(place for where, place in zip(node, position, strict=True) if where == branch)
        tree.plot(
            [first - 0.5] * 2 + [first],
            [0, 0.45 - 1.5 * branch, 0.45 - 1.5 * branch],
            color=MUTED,
            linewidth=1,
            zorder=0,
        )
        tree.text(first + 0.5, -1.5 * branch - 0.35, "read here", ha="center", fontsize=7, color=MUTED)
    tree.set(xlim=(-0.2, max(position) + 1.3), ylim=(-3.7, 1.4), xticks=range(max(position) + 1), yticks=[])
    tree.set_xticks([place + 0.5 for place in range(max(position) + 1)], range(max(position) + 1))
    tree.set_xlabel("position id", fontsize=8, color=MUTED)
    tree.tick_params(colors=MUTED, length=0, labelsize=7)
    tree.spines[:].set_visible(False)
    titled(tree, "A trunk and its branches", "GAD in training, asked after the third and the sixth frame")
    seen = batch.mask()[0, 0].numpy()
    shade = np.ones((*seen.shape, 3))
    for column, slot in enumerate(slots):
        shade[seen[:, column], column] = [int(FILL[slot][place : place + 2], 16) / 255 for place in (1, 3, 5)]
    mask.imshow(shade, interpolation="nearest")
    mask.set_xticks(range(len(words)), words, rotation=90)
    mask.set_yticks(range(len(words)), words)
    mask.tick_params(colors=MUTED, length=0, labelsize=6)
    mask.spines[:].set_color("#e4e7eb")
    titled(mask, "Who sees whom", "a row sees the coloured columns")
    save(figure, Path(__file__).parent / "images" / "trunk.png")


if __name__ == "__main__":
    main()
