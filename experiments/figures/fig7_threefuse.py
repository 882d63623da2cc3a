"""Fig. 7 of the paper: Instant-NGP with 3DFuse, DreamFusion's and ProlificDreamer's loss, each as usual and with GSD.

    python experiments/figures/fig7_threefuse.py --run --jobs 2 scale=laptop   # 20 minutes, with the models of gsd
    python experiments/figures/fig7_threefuse.py --run --jobs 2 scale=laptop steps=200   # 12 minutes

GSD uses several views per step, the baselines one. So the figure also has each baseline with GSD's views, at equal
prior calls, and GSD is compared with that.

Writes figure.png, figure.pdf, table.md and result.json.
"""

import gallery

FIGURE = gallery.Gallery(
    name="fig7",
    title="Instant-NGP with 3DFuse (front, left, back, right)",
    methods={
        "DreamFusion": "experiment=dreamfusion_3dfuse",
        "DreamFusion, GSD's views": "experiment=dreamfusion_3dfuse_gsd noising=random loss=[orient,sparsity]",
        "DreamFusion + GSD": "experiment=dreamfusion_3dfuse_gsd",
        "ProlificDreamer": "experiment=prolificdreamer_3dfuse",
        "ProlificDreamer, GSD's views": "experiment=prolificdreamer_3dfuse_gsd noising=random loss=[sparsity,opaque]",
        "ProlificDreamer + GSD": "experiment=prolificdreamer_3dfuse_gsd",
    },
    prompts=("a full body of a cat with a hat", "an owl"),
    against={
        "DreamFusion + GSD": "DreamFusion, GSD's views",
        "ProlificDreamer": "ProlificDreamer",
        "ProlificDreamer, GSD's views": "ProlificDreamer",
        "ProlificDreamer + GSD": "ProlificDreamer, GSD's views",
    },
)

if __name__ == "__main__":
    gallery.main(FIGURE, __doc__)
