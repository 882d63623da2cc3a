"""Fig. 6 of the paper: 3D Gaussians from a point cloud, score distillation as usual and with GSD.

    python experiments/figures/fig6_gaussians.py --run scale=laptop   # minutes, with the models that come with gsd
    python experiments/figures/fig6_gaussians.py --run --prompt "a corgi"    # Stable Diffusion on a GPU

GSD looks from six places a step where the baseline does from four. So beside the paper's two methods stands the
baseline from GSD's places, at equal prior calls, and with it GSD is compared.

Writes figure.png, figure.pdf, table.md and result.json.
"""

import gallery

FIGURE = gallery.Gallery(
    name="fig6",
    title="3D Gaussians (front, left, back, right)",
    methods={
        "GaussianDreamer": "experiment=gaussiandreamer",
        "GaussianDreamer, GSD's views": "experiment=gaussiandreamer_gsd noising=random loss=[sparsity]",
        "GaussianDreamer + GSD": "experiment=gaussiandreamer_gsd",
    },
    against={"GaussianDreamer + GSD": "GaussianDreamer, GSD's views"},
)

if __name__ == "__main__":
    gallery.main(FIGURE, __doc__)
