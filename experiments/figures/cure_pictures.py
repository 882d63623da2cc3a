"""What stops Janus, in pictures: four views per method at a strong view bias and strong guidance.

    python experiments/figures/cure_pictures.py --run                       # minutes, on the menagerie
    python experiments/figures/cure_pictures.py --run --setup default       # what it does for default runs
    python experiments/figures/fig9_convergence.py --run --setup cure       # when the pose is decided

The methods and the world of cure.py, on three of its twelve animals; docs/protocol.md counts the outcomes. With --setup
default runs as they are, and with guidance=sds_view at as many prior calls, of animals that SDS gives several fronts.

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
DEFAULT = gallery.Gallery(
    name="cure_default",
    title="Default runs, 1200 prior calls (front, left, back, right)",
    methods={"by default": "", "guidance=sds_view": "guidance=sds_view steps=450"},
    prompts=("an elephant", "a rainbow fish", "a snail"),
    common=("images_every=0", "turntable.views=60"),
    first_seed=20,
)

if __name__ == "__main__":
    gallery.main(FIGURE, __doc__, {"default": DEFAULT})
