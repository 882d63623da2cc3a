"""Fig. 6 of the paper: 3D Gaussians from a point cloud, score distillation as usual and with GSD.

    python experiments/fig6_gaussians.py --run scale=laptop          # minutes, with the models that come with gsd
    python experiments/fig6_gaussians.py --run --prompts "a corgi"   # Stable Diffusion on a GPU

Writes figure.png, figure.pdf, table.md and result.json.
"""

import gallery

FIGURE = gallery.Gallery(
    name="fig6",
    title="3D Gaussians (front, left, back, right)",
    methods={"GaussianDreamer": "experiment=gaussiandreamer", "+ GSD": "experiment=gaussiandreamer_gsd"},
)

if __name__ == "__main__":
    gallery.main(FIGURE, __doc__)
