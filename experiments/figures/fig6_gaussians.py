"""Fig. 6 of the paper: 3D Gaussians from a point cloud, score distillation as usual and with GSD.

    python experiments/figures/fig6_gaussians.py --run scale=laptop   # minutes, with the models that come with gsd
    python experiments/figures/fig6_gaussians.py --run --prompt "a corgi"    # Stable Diffusion on a GPU

The paper names a goose made out of gold, which grows several beaks without GSD, and a turtle with two heads.

GSD uses six views per step, the baseline four. So the figure also has the baseline with GSD's views, at equal prior
calls, and GSD is compared with that.

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
    prompts=("a goose made out of gold", "a turtle", "a full body of a cat with a hat"),
    against={"GaussianDreamer + GSD": "GaussianDreamer, GSD's views"},
)

if __name__ == "__main__":
    gallery.main(FIGURE, __doc__)
