"""The parts of one run, made from a config and checked against each other."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from gsd.backend.device import pick_device
from gsd.check import check, chosen
from gsd.config import Part, make, options
from gsd.errors import GsdError, gathered
from gsd.geometry import orbit, turntable
from gsd.identity import EVERY, of_settings
from gsd.particles import Particles
from gsd.protocols import (
    Adapts,
    AsksPrior,
    Camera,
    ConditionsOnPoints,
    Densifier,
    FindsFiles,
    Guidance,
    Init,
    Loss,
    Metric,
    NeedsKernels,
    Noising,
    Prior,
    Prompting,
    ReadsTexts,
    Representation,
    Sigma,
)
from gsd.random import Stream
from gsd.schedule import extremes
from gsd.settings import check_settings, start_of
from gsd.shares import Shares
from gsd.types import Cameras, Context
from gsd.watching import Logger, Viewer

Described = tuple[Any, dict[str, Any]]  # a class and its checked options, from `gsd.config.options`


@dataclass(frozen=True)
class Experiment:
    """Everything the loop and its consumers need; no DictConfig goes further than this."""

    prompt: str
    seed: int
    steps: int
    checkpoint_every: int
    images_every: int
    evaluate_every: int
    profile: bool
    device: torch.device
    camera: Camera
    prompting: Prompting
    sigma: Sigma
    representation: Representation
    prior: Prior
    guidance: Guidance
    noising: Noising
    losses: dict[str, Loss]
    shares: Shares
    metrics: dict[str, Metric]
    loggers: dict[str, Logger]
    viewer: Viewer | None
    turntable: Cameras
    start_pictures: tuple[Float[Tensor, "4 H W"] | None, ...]  # rgb and alpha that each scene's start was made of

    def stream(self, name: str, step: int = 0) -> Stream:
        return Stream(self.seed, name, step)


@dataclass(frozen=True)
class _Light:
    """The parts of an experiment that load nothing."""

    camera: Camera
    prompting: Prompting
    sigma: Sigma
    guidance: Guidance
    noising: Noising
    losses: dict[str, Loss]
    loggers: dict[str, Logger]
    viewer: Viewer | None


def context_of(cfg: DictConfig) -> Context:
    """What a config's parts are told of the run. Sets the number of threads, which some of them use when made.

    Raises GsdError for settings that belong to no group and are out of range.
    """
    check_settings(cfg)
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    return Context(cfg.prompt, pick_device(cfg.device), cfg.steps, cfg.seed)


def build(cfg: DictConfig, prior: Prior | None = None) -> Experiment:
    """Make every part of an experiment and check them against each other; the only place that instantiates.

    Args:
        cfg: from `gsd.compose`.
        prior: of another experiment with the same settings of the prior and device, so that both share its memory. A
            guidance that trains a network on its prior (vsd, esd) needs one of its own.

    Returns:
        The experiment, for `gsd.optimise`: `experiment.representation` is the scene, `experiment.prior` the prior, and
        so on.

    Raises:
        GsdError: one sentence for a wrong type, range or key, for more than the memory holds, or for a pair of options
            that makes no sense. All types and ranges are checked before a part is made, and cheap and fallible parts
            are made first, so that a mistake costs no work.

    Example:
        >>> experiment = gsd.build(gsd.compose("representation=instant_ngp", "steps=50"))
        >>> experiment.steps
        50
    """
    context, light = _light_parts(cfg)
    guidance, losses, prompting = light.guidance, light.losses, light.prompting
    scene_kind = options(cfg.representation, "representation", Representation)
    _prepare_kernels(scene_kind, context.device)
    for_scene = replace(context, representation=scene_kind)
    init, prior = gathered(
        lambda: _light(cfg, "init", Init, for_scene) or make_init(cfg, for_scene),
        lambda: _light_prior(cfg, context) if prior is None else prior,
    )
    metrics = _make_metrics(cfg, context)
    prior = prior or make(cfg.prior, "prior", context, Prior)
    if isinstance(guidance, Adapts):
        guidance.attach(prior, Stream(cfg.seed, "guidance"))
    light.sigma.attach(prior)
    if isinstance(prior, ReadsTexts):
        prior.prepare((*prompting.texts, *guidance.texts, *(init.texts if isinstance(init, AsksPrior) else ())))
    seeds = [_seed_of(cfg.seed, k) for k in range(cfg.particles)]
    if isinstance(prior, ConditionsOnPoints):
        prior.condition_on(None)
    if isinstance(init, AsksPrior):
        init.ask(prior)
    begun = [(init(Stream(seed, "init")), init.picture if isinstance(init, AsksPrior) else None) for seed in seeds]
    starts, pictures = zip(*begun, strict=True)
    if isinstance(prior, ConditionsOnPoints):
        prior.condition_on(starts[0])
    steps = math.ceil(cfg.steps / cfg.particles)
    each = replace(context, steps=steps, random_background=prior.random_background)
    scenes = [
        make_scene(cfg, replace(each, seed=seed, points=points)) for seed, points in zip(seeds, starts, strict=True)
    ]
    for scene, start in zip(scenes, starts, strict=True):
        if start.whole is not None:
            scene.adopt(start.whole)
    t = cfg.turntable
    return Experiment(
        **{key: cfg[key] for key in ("prompt", "seed", "steps", *EVERY, "profile")},
        **vars(light),
        device=context.device,
        representation=scenes[0] if len(scenes) == 1 else Particles(scenes),
        prior=prior,
        shares=Shares(losses),
        metrics=metrics,
        turntable=turntable(t.views, t.resolution, t.fov, t.distance, t.elevation).to(context.device),
        start_pictures=pictures,
    )


def refuse(cfg: DictConfig) -> None:
    """Raise what `build` raises before the prior is loaded; the folder of a stage does not exist yet."""
    context, light = _light_parts(cfg)
    prior = _light_prior(cfg, context)
    if prior is not None and isinstance(light.guidance, Adapts):
        light.guidance.attach(prior, Stream(cfg.seed, "guidance"))
    _make_metrics(cfg, context)
    if start_of(cfg) is None:
        scene_kind = options(cfg.representation, "representation", Representation)
        _light(cfg, "init", Init, replace(context, representation=scene_kind))


def _light_parts(cfg: DictConfig) -> tuple[Context, _Light]:
    """The parts that cost nothing, checked against each other, after all types and ranges of the config."""
    missing = sorted(str(key) for key in OmegaConf.missing_keys(cfg))
    if missing:
        raise GsdError(f"{missing[0]} has no value; add {missing[0]}=... to the command line.")
    context = context_of(cfg)
    check(cfg, context.device)
    camera = make(cfg.camera, "camera", context, Camera)
    guidance = make(cfg.guidance, "guidance", context, Guidance)
    noising = make(cfg.noising, "noising", context, Noising)
    losses = {k: make(v, f"loss.{k}", context, Loss) for k, v in chosen(cfg, "loss").items()}
    _check_pairs(guidance, camera, noising, losses)
    _check_views(options(cfg.prior, "prior", Prior)[0], camera, guidance)
    loggers = {k: make(v, f"logger.{k}", context, Logger) for k, v in chosen(cfg, "logger").items()}
    viewer = make(cfg.viewer, "viewer", context, Viewer) if cfg.viewer else None
    sigma = make(cfg.sigma, "sigma", context, Sigma)
    prompting = make(cfg.prompting, "prompting", context, Prompting)
    if extremes(guidance.view_scale) != (0, 0):
        _check_led(prompting)
    return context, _Light(camera, prompting, sigma, guidance, noising, losses, loggers, viewer)


def _check_led(prompting: Prompting) -> None:
    """What view guidance needs of texts: view words, and of a side view that its opposite is another.

    Raises:
        GsdError: for texts without view words.
    """
    azimuth, elevation, radius, fov = torch.tensor([[90.0], [0.0], [2.0], [40.0]])
    told = prompting(orbit(azimuth, elevation, radius, fov, 8, 8))
    opposite = told.opposite_view()
    same = (told.texts, told.others) == (opposite.texts, opposite.others)
    if same and (told.blend is None or opposite.blend is None or torch.equal(told.blend, opposite.blend)):
        logging.getLogger("gsd").warning(
            "gsd: seen from the side the text's opposite is the text itself (%s), so view guidance leaves the sides to "
            "the prior's bias; set prompting.away_from=plain with twice the guidance.view_scale, or "
            "prompting=interpolated, which names the sides.",
            told.texts[0],
        )


def make_init(cfg: DictConfig, context: Context) -> Init:
    """The start, which is told of the prior what decides on its pictures, so that those on disk can be found."""
    settings = {"prior": OmegaConf.to_container(cfg.prior, resolve=True)}
    prior = str(of_settings(settings, context.device.type))
    return make(cfg.init, "init", replace(context, prior_identity=prior), Init)


def _seed_of(seed: int, particle: int) -> int:
    """The first scene's is the run's; the others' are no run's, so that seeds stay independent."""
    return seed if particle == 0 else Stream(seed, f"particle {particle}").key()


def _prepare_kernels(scene_kind: Described, device: torch.device) -> None:
    """Of the scene, which is made last."""
    kind, values = scene_kind
    if issubclass(kind, NeedsKernels):
        kind.prepare(device, values)


def _light(cfg: DictConfig, group: str, kind: type[Part], context: Context) -> Part | None:
    """The option of a group, if making it loads no model; None for one that loads some."""
    light = getattr(options(cfg[group], group, kind)[0], "light", False)
    return make(cfg[group], group, context, kind) if light else None


def _light_prior(cfg: DictConfig, context: Context) -> Prior | None:
    """The prior, if it loads no model; None for one that does, whose files are there."""
    kind, values = options(cfg.prior, "prior", Prior)
    if issubclass(kind, FindsFiles):
        kind.find(context, **values)
    return _light(cfg, "prior", Prior, context)


def _make_metrics(cfg: DictConfig, context: Context) -> dict[str, Metric]:
    return {k: make(v, f"metric.{k}", context, Metric) for k, v in chosen(cfg, "metric").items()}


def continues(theirs: Described, ours: Described, where: str) -> bool:
    """Whether a scene is taken up whole by a run whose scene is `ours`, being of the same class; False: its surface is
    where that starts.

    where: what leads to the scene, for messages. Raises GsdError where it can be neither.
    """
    (their_class, have), (our_class, want) = theirs, ours
    if their_class is not our_class:
        if our_class.starts_at_points:
            return False
        raise GsdError(
            f"{where} leads to a scene of {their_class.__name__}, and {our_class.__name__} does not start at points; "
            "take the same representation, or start Gaussians or a textured mesh."
        )
    if other := {key: have[key] for key in our_class.sizes if have[key] != want[key]}:
        mend = " ".join(f"representation.{key}={value}" for key, value in other.items())
        raise GsdError(f"{where} leads to a scene of other sizes than this run's; set {mend}.")
    return True


def check_particle(particle: int, scenes: int, where: object) -> None:
    """Refuse a scene to start from that a run with so many does not have."""
    if particle >= scenes:
        has = "one scene, number 0" if scenes == 1 else f"{scenes} scenes, from 0 on"
        raise GsdError(f"init.particle={particle}: {where} has {has}; choose another.")


def make_scene(cfg: DictConfig, context: Context) -> Representation:
    """One scene that starts from `context.points`."""
    densifier = make(cfg.densify, "densify", context, Densifier) if cfg.densify else None
    return make(cfg.representation, "representation", replace(context, densifier=densifier), Representation)


def _check_views(prior: Any, camera: Camera, guidance: Guidance) -> None:
    """Of a class of priors that see all views of a group at once, with their cameras."""
    if prior.views is None:
        return
    name = prior.__name__
    if prior.views != camera.views:
        raise GsdError(
            f"prior {name} sees {prior.views} views of a group at once, and camera.views is {camera.views}; "
            f"set camera.views={prior.views} camera.delta_deg={360 / prior.views:g}."
        )
    if guidance.camera:
        raise GsdError(f"guidance.camera=true: prior {name} knows the cameras already; set guidance.camera=false.")
    if extremes(guidance.view_scale) != (0, 0):
        raise GsdError(
            f"prior {name} knows the cameras, which the words of the opposite view would contradict; "
            "set guidance.view_scale=0."
        )


def _check_pairs(guidance: Guidance, camera: Camera, noising: Noising, losses: dict[str, Loss]) -> None:
    """Options that are right alone and senseless together."""
    name = type(noising).__name__
    if guidance.draws_own_noise and not noising.independent:
        raise GsdError(
            f"guidance {type(guidance).__name__} finds its own noise and would ignore noising {name}; "
            "add noising=random (and loss=none for the method as published), or take another guidance: guidance=sds."
        )
    if noising.max_views is not None and camera.views > noising.max_views:
        raise GsdError(
            f"noising {name} couples at most {noising.max_views} views of a group, and camera.views is {camera.views}; "
            f"set camera.views={noising.max_views}, or use another noising such as noising=integral."
        )
    for term, loss in losses.items():
        if camera.views < loss.least_views:
            raise GsdError(
                f"loss={term} compares the views of a group, and camera.views is {camera.views}; "
                f"set camera.views={loss.least_views} or more, or leave it out: loss=none."
            )
