"""A user's LoRA files, merged into a prior's network: W <- W + scale up down.

They are read by the loader of diffusers' own pipeline, which knows the layouts of diffusers, peft and kohya. A merged
network has plain layers, so that compiling it, a semantic code and the adapters that a guidance trains need not know.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from gsd.backend.adapters import adapted
from gsd.backend.checkpoint import loading
from gsd.errors import GsdError, reason
from gsd.prior.parts.latent import fits

ADAPTER = "user"
LAYOUTS = ("lora", "lokr")  # one of them is in the names of what diffusers reads
OF_TEXTS = ("text_encoder", "lora_te")  # how weights of a LoRA for text encoders are called: diffusers', kohya's
UP = re.compile(r"lora_B\.weight$|[._]up\.weight$")  # the second matrix of a layer: peft's, diffusers' former names


def lora_files(names: Sequence[str] | None) -> list[Path]:
    """The files of prior.lora, of which the headers alone are read.

    Raises GsdError for one that is missing, pickled or damaged, and for one without weights for a network.
    """
    return [_checked(Path(name).expanduser(), f"prior.lora={name}") for name in names or ()]


def _checked(file: Path, name: str) -> Path:
    if file.suffix != ".safetensors" or not file.is_file():
        what = "no such file" if file.suffix == ".safetensors" else "not a .safetensors file"
        raise GsdError(f"{name}: {what}; give LoRA weights for the network as .safetensors.")
    try:
        with safe_open(file, "pt") as content:
            keys = list(content.keys())
    except (SafetensorError, OSError) as error:
        raise GsdError(f"{name} cannot be read ({reason(error)}); copy it again.") from error
    if not any(word in key for word in LAYOUTS for key in keys):
        raise GsdError(f"{name} holds no LoRA; give LoRA weights for the network.")
    if all(key.startswith(OF_TEXTS) for key in keys):
        raise GsdError(f"{name} has weights for text encoders alone; give a LoRA for the network.")
    if any("dora_scale" in key for key in keys):  # which diffusers would leave out, and with them what was learned
        raise GsdError(f"{name} is a DoRA in kohya's layout, which diffusers does not read; give a LoRA.")
    return file


def merge_lora(pipe: Any, network: Any, files: Sequence[Path]) -> None:
    """Merge the files into the network, those of their weights that are for it; what a file has for text encoders is
    left out, with a warning.

    Args:
        pipe: a pipeline of diffusers around the network, without text encoders.
        network: frozen, in its final precision and on its device; its weights are changed.
        files: from `lora_files`.

    Raises:
        GsdError: for weights of another network, numbers that are not finite, and a GPU whose memory is too small.
    """
    for file in files:
        with loading(file), safe_open(file, "pt") as content:
            weights, header = load_file(file), content.metadata()
        own = {key: value for key, value in weights.items() if not key.startswith(OF_TEXTS)}
        if not all(value.isfinite().all() for value in own.values()):
            raise GsdError(f"prior.lora={file} has numbers that are not finite; copy it again, or give another file.")
        if len(own) == len(weights):
            _merge(pipe, network, file, file)
            continue
        with TemporaryDirectory() as folder:
            save_file(own, part := Path(folder) / file.name, header)
            _merge(pipe, network, part, file)
        logging.getLogger("gsd").warning(
            "gsd: prior.lora=%s changes the text encoders too, which gsd does not do; its weights for the network "
            "are taken.",
            file,
        )


def _merge(pipe: Any, network: Any, part: Path, file: Path) -> None:
    """Merge `part`, what `file` has for the network. diffusers reads it, since only so it sees the header, where alpha
    may stand."""
    other = f"prior.lora={file} is for another network; give a LoRA that was trained for this {type(pipe).__name__}."
    source = {"weight_name": part.name, "use_safetensors": True, "local_files_only": True}
    try:
        with _quiet(), fits("merging prior.lora"):
            pipe.load_lora_weights(str(part.parent), adapter_name=ADAPTER, **source)
            converted = pipe.lora_state_dict(str(part.parent), return_lora_metadata=True, **source)[0]
    except (GsdError, MemoryError):
        raise
    except Exception as error:  # of many kinds, by which diffusers and peft say that shapes or names are others
        raise GsdError(other) from error
    layers = adapted(network)
    # Layers that the network does not have are passed over by diffusers
    if not layers or len(layers) < sum(bool(UP.search(key)) for key in converted):
        raise GsdError(other)
    if any(p.is_meta for layer in layers for p in layer.parameters()):
        raise GsdError(f"prior.lora={file} has layers of which a half is missing; copy it again.")
    network.fuse_lora(adapter_names=[ADAPTER])
    network.unload_lora()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without diffusers' words on text encoders that are not there and on every shape that does not fit."""
    from diffusers.utils import logging as words

    before = words.get_verbosity()
    words.set_verbosity(words.CRITICAL)
    try:
        yield
    finally:
        words.set_verbosity(before)
