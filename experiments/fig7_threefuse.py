"""Fig. 7 of the paper: Instant-NGP with 3DFuse, DreamFusion's and ProlificDreamer's loss, each as usual and with GSD.

    python experiments/fig7_threefuse.py --run scale=laptop   # minutes, with the models that come with gsd

Writes figure.png, figure.pdf, table.md and result.json.
"""

import gallery

FIGURE = gallery.Gallery(
    name="fig7",
    title="Instant-NGP with 3DFuse (front, left, back, right)",
    methods={
        "DreamFusion": "experiment=dreamfusion_3dfuse",
        "+ GSD": "experiment=dreamfusion_3dfuse_gsd",
        "ProlificDreamer": "experiment=prolificdreamer_3dfuse",
        "+ GSD ": "experiment=prolificdreamer_3dfuse_gsd",
    },
    prompts=("a full body of a cat with a hat", "an owl"),
)

if __name__ == "__main__":
    gallery.main(FIGURE, __doc__)
