"""Every yaml is composed, built and run; every mistake is refused in one sentence before anything is computed."""

import itertools
import runpy
import sys

import numpy as np
import pytest
from families import MAKERS, random_family
from hydra.utils import get_class
from launch import ROOT, SMALL, config, launch, shell
from omegaconf import OmegaConf
from pipelines import random_controlnet, random_multiview, random_pipeline
from pretrained import random_point_e, random_shap_e
from pydantic import TypeAdapter
from quick_config import SMALLEST, quick
from yardsticks import YARDSTICKS

from gsd.cli.folders import CONF
from gsd.cli.hydra import choices, plain
from gsd.config import make, options_of
from gsd.errors import GsdError
from gsd.experiment import build
from gsd.identity import signature
from gsd.protocols import Prompting
from gsd.types import Condition, Context

# Options that need something of the user's, and what the test gives them.
NEEDS = {
    "init=point_cloud": ("init.path={folder}/cloud.npz",),
    "init=mesh": ("init.path={folder}/mesh.obj",),
    "init=run": ("init.path={folder}/run",),
    "init=shap_e": ("init.model={folder}/shap_e", "init.sampling_steps=2"),
    "init=point_e": ("init.weights={folder}", "init.clip={folder}/clip", "init.sampling_steps=4"),
    "init=point_e_image": ("init.weights={folder}", "init.clip={folder}/clip", "init.sampling_steps=4"),
    "prior=stable_diffusion": ("prior.model={folder}/pipeline",),
    "prior=threefuse": ("prior.model={folder}/pipeline", "prior.controlnet={folder}/controlnet"),
    "prior=mvdream": ("prior.model={folder}/multiview", "camera.views=4", "camera.delta_deg=90"),
    **{f"prior={name}": (f"prior.model={{folder}}/{name}", "prior.resolution=16") for name in MAKERS},
    **{
        f"metric=[{name}]": tuple(
            f"metric.{name}.{key}={value.replace('{folder}', f'{{folder}}/{name}')}" for key, value in settings.items()
        )
        for name, (_, settings) in YARDSTICKS.items()
    },
    "guidance=ism": ("noising=random",),
    "guidance=sdi": ("noising=random",),
    "loss=[orient]": ("representation=instant_ngp", "representation.normals=analytic"),
    "guidance=vsd": ("prior=stable_diffusion", "prior.model={folder}/pipeline"),
    "guidance=esd": ("prior=stable_diffusion", "prior.model={folder}/pipeline"),
}
OPTIONS = sorted(
    f"{group.name}=[{file.stem}]"
    if group.name in ("loss", "metric", "logger") and file.stem != "none"
    else f"{group.name}={file.stem}"
    for group in CONF.iterdir()
    if group.is_dir() and group.name not in ("hydra", "experiment", "scale")
    for file in group.glob("*.yaml")
)


OF_A_CLASS = [option for option in OPTIONS if not option.endswith(("=none", "=[files]", "=[crisp]"))]
BY_GROUP = [[*group] for _, group in itertools.groupby(OPTIONS, lambda option: option.split("=")[0])]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A cloud, and random weights in the place of downloads."""
    folder = tmp_path_factory.mktemp("weights")
    xyz = np.random.default_rng(0).normal(size=(100, 3))
    np.savez(folder / "cloud.npz", xyz=xyz, rgb=np.full((100, 3), 0.2))
    (folder / "mesh.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    random_controlnet(folder / "controlnet", random_pipeline(folder / "pipeline").unet)
    random_multiview(folder / "multiview")
    launch(folder / "run", *SMALLEST, "metric=none")
    for name in MAKERS:
        random_family(name, folder / name)
    for name, (write, _) in YARDSTICKS.items():
        write(folder / name)
    return folder


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_runs(option, weights, tmp_path, monkeypatch):
    if option == "init=shap_e":
        random_shap_e(weights / "shap_e", monkeypatch)
    if option.startswith("init=point_e"):
        pytest.importorskip("point_e")
        random_point_e(weights, monkeypatch)
    if option == "logger=[trackio]":
        pytest.importorskip("trackio")
    monkeypatch.setattr("gsd.init.parts.sampled._folder", lambda: tmp_path / "kept")
    small = [o for o in SMALLEST if not (option.startswith("init=") and o.startswith("init."))]
    metric = [] if option.startswith("metric=") else ["metric=none"]
    needs = (o.format(folder=weights) for o in NEEDS.get(option, ()))
    folder = launch(tmp_path / "run", *small, *metric, option, *needs)
    assert (folder / "DONE").exists()


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda p: str(p.relative_to(CONF)))
def test_every_yaml_says_in_a_line_what_it_is(path):
    comments = [x for x in path.read_text().splitlines() if x.startswith("# ") and "@package" not in x]
    assert comments
    assert len(comments[0]) < 120


# Options that are another option's class with numbers of their own, and what they change
ALIASES = {
    "camera=orbit": {"resolution"},  # a schedule over the steps of the run
    "guidance=esd": {"lora_scale"},
    "guidance=sds_view": {"view_scale"},
    "guidance=x0": {"guidance_scale", "rescale", "rescale_of", "weighting"},
    "init=point_e_image": {"model", "image"},
    "noising=paper": {"offsets", "upsample", "kernel"},
    "prior=flux": {"guidance_scale"},
    "prior=mvdream": {"model"},
    "prior=tiny": {"model", "guidance_scale", "name_background"},
    "prior=tiny_flow": {"model", "guidance_scale", "name_background"},
}


@pytest.mark.parametrize("options", [*itertools.zip_longest(*BY_GROUP, fillvalue="steps=7")])
def test_configs_without_hydra_are_hydras(options):
    """One option of each group at a time."""
    quickly, slowly = quick(*options, hydra=True), config(*options, hydra=True)
    assert plain(quickly) == plain(slowly)
    assert choices(quickly) == choices(slowly)
    assert quickly.hydra.overrides == slowly.hydra.overrides


@pytest.mark.parametrize(
    ("overrides", "losses"),
    [
        ([], ["consistency"]),
        (["prior=tiny"], ["consistency", "opaque"]),
        (["prior=tiny_flow", "loss.opaque.weight=2"], ["consistency", "opaque"]),
        (["prior=tiny", "loss=consistency"], ["consistency"]),
        (["prior=tiny", "experiment=sds"], []),
        (["prior=tiny", "loss=[crisp,tv]", "~loss.opaque"], ["consistency", "tv"]),
    ],
    ids=str,
)
def test_the_small_networks_are_crisp_unless_told_otherwise(overrides, losses):
    assert choices(config(*overrides, hydra=True))["loss"] == losses


@pytest.mark.parametrize("option", OF_A_CLASS)
def test_a_yaml_has_the_options_and_the_defaults_of_its_class(option):
    """All of them, so that --help, --cfg and a typo's refusal know them; each default is one number in two places."""
    group, name = option.replace("[", "").replace("]", "").split("=")
    section = quick(option)[group]
    section = section[name] if option.endswith("]") else section
    options = options_of(get_class(section._target_))
    assert set(section) - {"_target_"} == set(options)
    defaults = {key: default for key, (_, default) in options.items() if default is not ...}
    values = TypeAdapter(dict).dump_python(defaults, mode="json")
    differing = {
        key for key, default in values.items() if OmegaConf.create([section[key]])[0] != OmegaConf.create([default])[0]
    }
    assert differing == ALIASES.get(option, set())


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("noising=consistant", ["noising=consistant", "choose bilinear, consistent,", "did you mean consistent?"]),
        ("noising.upsampel=3", ["noising.upsampel", "did you mean upsample?"]),
        ("noize=random", ["noize", "did you mean noising?"]),
        ("steps=ten", ["ten", "steps"]),
        ("steps=0", ["steps=0", "greater than or equal to 1"]),
        ("seed=-1", ["seed=-1", "greater than or equal to 0"]),
        ("noising.upsample=0", ["noising.upsample=0", "greater than or equal to 1"]),
        ("noising.spread=wide", ["noising.spread='wide'", "number"]),
        ("loss.consistency.warp=bilinaer", ["'straight_through' or 'bilinear'", "did you mean bilinear?"]),
        ("loss.consistency.weight=heavy", ["loss.consistency.weight='heavy'"]),
        ("camera.views=1", ["loss=consistency", "camera.views=2"]),
        ("camera.fov=[60,40]", ["camera.fov", "ascend"]),
        ("sigma.t_max=1.5", ["sigma.t_max=1.5"]),
        ("sigma.t_min=0.9", ["sigma.t_min=0.9", "t_min <= t_max", "step 101"]),
        ("init=point_cloud", ["init.path has no value"]),
        ("init=point_cloud init.path=/nowhere.ply", ["/nowhere.ply", "no such file"]),
        ("device=cuda:7", ["device=cuda:7", "device=cpu"]),
        ("device=gpu", ["device=gpu is not a device"]),
        ("prompt=a dragon", ["dragon", "cat", "stable_diffusion"]),
        ("prompt= ", ["prompt is empty"]),
        ("prompt='an owl by ${name}'", ["prompt='an owl by ${name}'", "name is null"]),
        ("name='owls_${objective}'", ["name='owls_${objective}'", "objective is null"]),
        ("prior=menagerie cat", ["'cat' is no", "needs quotes"]),
        (
            "loss=[consistency,opaqe]",
            ["loss=opaqe", "choose consistency, crisp, none, opacity,", "did you mean opaque?"],
        ),
        ("camera.resolution=5000", ["camera.resolution=5000", "1 to 4096"]),
        ("prompt=a cat, sitting", ["prompt='\"a cat, sitting\"'", "add -m"]),
        ("representation.backend=gsplat", ["gsplat", "CUDA"]),
        ("prior=stable_diffusion prior.model=/nowhere", ["/nowhere: no such folder", "hub id"]),
        ("prior=stable_diffusion prior.model=a/b", ["a/b is not on this machine", "network", "prior.model=/path"]),
        ("prior=stable_diffusion prior.dtype=fp16", ["prior.dtype=fp16 needs a GPU"]),
        ("turntable.views=0", ["turntable.views=0"]),
        ("logger=wandbb", ["logger=wandbb", "choose files, tensorboard,", "did you mean wandb?"]),
    ],
)
def test_mistakes_are_refused_in_one_sentence(override, words, tmp_path, monkeypatch, capsys):
    """In this process, for speed; test_mistakes_end_with_exit_code_1 does the same from a shell."""
    monkeypatch.chdir(tmp_path)
    overrides = override.split(" ") if override.startswith(("init", "prior")) else [override]
    monkeypatch.setattr(sys, "argv", ["run.py", *overrides])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "run.py"), run_name="__main__")
    message = str(stop.value.code)
    assert message.startswith("error: ")
    assert message.count("\n") == 0
    for word in words:
        assert word in message, message
    assert not list(tmp_path.rglob("metrics.jsonl"))


def test_mistakes_end_with_exit_code_1(tmp_path):
    code, _, err = shell(tmp_path, "noising=consistant")
    assert code == 1
    assert "did you mean consistent?" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("guidance", ["ism", "sdi"])
def test_guidance_that_finds_its_own_noise_is_refused_beside_a_noising(guidance):
    with pytest.raises(GsdError, match="add noising=random"):
        build(quick(*SMALL, f"guidance={guidance}"))
    build(quick(*SMALL, f"guidance={guidance}", "noising=random"))


def test_signature_names_what_can_change_a_result():
    base = signature(config())
    assert signature(quick()) == base
    free = ("name=x", "device=cpu", "threads=1", "checkpoint_every=7", "images_every=0", "logger=[files,wandb]")
    for same in (*free, "objective=psnr_aligned"):
        assert signature(quick(same)) == base
    changed = ["seed=1", "steps=601", "prompt=an owl", "noising.spread=0.03", "noising=random", "loss=none"]
    signatures = [signature(quick(o)) for o in changed]
    for a, b in itertools.combinations([base, *signatures], 2):
        assert a != b


def make_prompting(**values):
    return make(OmegaConf.create(values), "prompting", Context("an owl"), Prompting)


def test_a_part_gets_the_context_and_its_options():
    target = "gsd.prompting.plain.Plain"
    assert make_prompting(_target_=target).texts == ("an owl", "")
    with pytest.raises(GsdError, match="prompting has no option 'suffix'"):
        make_prompting(_target_=target, suffix="x")
    with pytest.raises(GsdError, match=r"prompting\.context is reserved"):
        make_prompting(_target_=target, context="x")
    with pytest.raises(GsdError, match="does not name a class"):
        make_prompting(_target_="gsd.nothing.Nothing")
    with pytest.raises(GsdError, match=r"prompting\._target_ is missing"):
        make_prompting(negative="")
    with pytest.raises(GsdError, match=r"prompting is None and should be a section"):
        make(None, "prompting", Context(), Prompting)


class Mine:
    """Somebody's own class, with names that once were reserved."""

    def __init__(self, steps: int = 4, *, word: str, device: str = "mine") -> None:
        self.steps, self.word, self.device = steps, word, device


class Whole(Mine, Prompting):
    texts = ()

    def __call__(self, cameras):
        return Condition(("",) * len(cameras))


def test_no_constructor_name_but_context_means_anything():
    whole = make_prompting(_target_=f"{__name__}.Whole", word="x")
    assert (whole.steps, whole.word, whole.device) == (4, "x", "mine")


def test_a_class_that_lacks_something_is_refused_in_a_sentence():
    with pytest.raises(GsdError, match=r"prompting\.word has no value and Whole none by default; .*context"):
        make_prompting(_target_=f"{__name__}.Whole")
    with pytest.raises(
        GsdError, match=r"Mine is no Prompting: it lacks texts, __call__; subclass gsd\.protocols\.Prompting"
    ):
        make_prompting(_target_=f"{__name__}.Mine", word="x")


@pytest.mark.parametrize("typed", ["loss.consistency=3", "+loss.other=3", "loss.consistency=null", "metric.truth=3"])
def test_a_value_in_place_of_a_section_is_refused(typed):
    with pytest.raises(GsdError, match=r"(loss|metric)\.\w+ is (3|None) and should be a section"):
        build(config(typed))
