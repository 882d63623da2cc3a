"""What stops Janus, in pictures: four views per method at a strong view bias and strong guidance.

    python experiments/figures/cure_pictures.py --run                       # minutes, on the menagerie
    python experiments/figures/fig9_convergence.py --run --setup cure       # when the pose is decided

The methods and the world of cure.py, on three of its twelve animals; docs/protocol.md counts the outcomes.

Writes figure.png, figure.pdf, table.md and result.json.
"""

import cure
import gallery
import janus

SCALE, BIAS = 7.5, 8.0
PRIOR = (f"prior.view_bias={BIAS:g}", "prior.view_words=4")

FIGURE = gallery.Gallery(
    name="cure_pictures",
    title=f"View bias {BIAS:g}, guidance scale {SCALE:g}, {cure.CALLS} prior calls (front, left, back, right)",
    methods={name: " ".join(cure.command(method, SCALE)) for name, method in cure.METHODS.items()},
    prompts=("a fox", "a pig", "a zebra"),
    common=(*PRIOR, *janus.SMALL),
)

if __name__ == "__main__":
    gallery.main(FIGURE, __doc__)
