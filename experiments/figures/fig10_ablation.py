"""Fig. 10 of the paper: noising x loss, and every other noising, from the same seeds at equal prior calls.

    python experiments/figures/fig10_ablation.py --run                            # minutes, on the menagerie
    python experiments/figures/fig10_ablation.py --run prior=stable_diffusion metric=none camera.resolution=256

The table compares every row with plain score distillation, pair by pair (same prompt, seed, start, cameras and noise
levels). Three seeds show the kind of outcome; experiments/figures/janus.py has enough of them for conclusions.

Writes figure.png, figure.pdf, table.md and result.json.
"""

import gallery

FIGURE = gallery.Gallery(
    name="fig10",
    title="Noising and loss (front, left, back, right)",
    methods={
        "random noise": "noising=random loss=none",
        "random noise + loss": "noising=random loss=consistency",
        "3D noise": "noising=consistent loss=none",
        "3D noise + loss (GSD)": "noising=consistent loss=consistency",
        "3D noise, tent": "noising=consistent loss=none noising.kernel=tent",
        "lattice": "noising=lattice loss=none",
        "nearest warping": "noising=nearest loss=none",
        "bilinear warping": "noising=bilinear loss=none",
        "split nearest": "noising=split_nearest loss=none",
        "2D integral": "noising=integral loss=none",
    },
    prompts=("a cute meercat", "an elephant"),
    common=("turntable.resolution=128", "images_every=0"),
    seeds=3,
)

if __name__ == "__main__":
    gallery.main(FIGURE, __doc__)
