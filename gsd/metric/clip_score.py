"""How well CLIP says the views fit the prompt, and whether it would pick the prompt among others."""

from __future__ import annotations

import re
from pathlib import Path

from gsd.backend.text_lines import lines
from gsd.errors import GsdError
from gsd.menagerie import Creature, find, load
from gsd.metric.parts.clip import load_clip, warn_of_unknown
from gsd.protocols import Metric
from gsd.ranges import Few
from gsd.types import Cameras, Render


class ClipScore(Metric):
    """CLIP score and R-precision of a turntable.

    clip_score, clip_score_min   100 max(cos(view, prompt), 0), the mean and the least over views (Hessel et al. 2021,
                                 with torchmetrics' factor instead of 2.5)
    clip_r_precision             share of views that are nearer to the prompt than to each distractor (Park et al. 2021,
                                 as DreamFusion takes it); 1 / (1 + distractors) for a blind guess

    Distractors are the lines of the file `prompts`, or, with null, the prompt with the menagerie's other subjects in
    place of its own; a prompt that names none of them is compared with all of them as they are. Lines equal to the
    prompt are no distractors. R-precisions of different lists cannot be compared.

    What it does not see: geometry. Every view alone may fit the prompt, so an animal with faces all around scores as a
    true one does, often more, since fronts fit best; nor does it see whether views agree with each other. Scores of
    different models cannot be compared, and prompts differ in what their best picture would score.

    For a prompt that the shipped model does not know a warning says so.

    model, pretrained: as for `gsd.metric.parts.clip.load_clip`, which raises GsdError, as a missing or empty file of
    prompts does. chunk: views encoded at a time.
    """

    def __init__(
        self,
        model: str = "tiny",
        pretrained: str | None = None,
        prompts: str | None = None,
        chunk: Few = 16,
    ) -> None:
        self.prompts = (
            None if prompts is None else lines(Path(prompts).expanduser(), f"metric.clip_score.prompts={prompts}")
        )
        self.model = model
        self.clip, self.chunk = load_clip(model, pretrained, "metric.clip_score"), chunk

    def __call__(self, turntable: Render, cameras: Cameras, prompt: str) -> dict[str, float | list[float]]:
        warn_of_unknown(self.model, prompt, "metric.clip_score")
        texts = [prompt, *self.distractors(prompt)]
        cosines = self.clip.similarity(turntable.rgb.detach(), texts, self.chunk)
        scores = 100 * cosines[:, 0].clamp_min(0)
        return {
            "clip_score": float(scores.mean()),
            "clip_score_min": float(scores.min()),
            "clip_r_precision": float((cosines.argmax(1) == 0).float().mean()),
        }

    def distractors(self, prompt: str) -> list[str]:
        others = menagerie_distractors(prompt) if self.prompts is None else self.prompts
        return [text for text in others if text.lower() != prompt.strip().lower()]


def menagerie_distractors(prompt: str) -> list[str]:
    """The prompt about every other creature, so that only the subject differs; else just the creatures."""
    try:
        mine = find(prompt)
    except GsdError:
        return [_with_article(creature.name) for creature in load().values()]
    before, after = re.split(_subject(mine, prompt), prompt, maxsplit=1, flags=re.IGNORECASE)
    return [f"{before}{_with_article(other.name)}{after}" for other in load().values() if other.name != mine.name]


def _subject(creature: Creature, prompt: str) -> str:
    """A pattern for the creature's longest name in the prompt, its article included."""
    names = sorted(map(re.escape, creature.words), key=len, reverse=True)
    return next(
        pattern
        for pattern in (rf"(?<!\w)(?:(?:an?|the)\s+)?{name}(?!\w)" for name in names)
        if re.search(pattern, prompt, re.IGNORECASE)
    )


def _with_article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
