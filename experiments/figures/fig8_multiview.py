"""Fig. 8 of the paper: a prior of single images with GSD against a prior that was trained on several views at once.

    python experiments/figures/fig8_multiview.py --run scale=laptop   # minutes, with the models that come with gsd

At laptop scale the multi-view prior is the menagerie's exact one and the other a small network, so there the figure
shows what each makes and does not compare the methods.

Writes figure.png, figure.pdf, table.md and result.json.
"""

import gallery

FIGURE = gallery.Gallery(
    name="fig8",
    title="A multi-view prior and GSD (front, left, back, right)",
    methods={
        "MVDream": "experiment=mvdream",
        "GaussianDreamer + GSD": "experiment=gaussiandreamer_gsd",
        "ProlificDreamer + GSD": "experiment=prolificdreamer_3dfuse_gsd",
    },
)

if __name__ == "__main__":
    gallery.main(FIGURE, __doc__)
