"""Random Shap-E, CLIP and Point-E, small enough to make and sample in a second or two."""

from functools import partialmethod
from itertools import product
from pathlib import Path

import numpy as np
import torch

from gsd.backend.torchvision_mend import mend_torchvision


def tokenizer(tokens):
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=tokens)


def text_options(tokenizer):
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 32,
        "projection_dim": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": tokenizer.model_max_length,
        "bos_token_id": len(tokenizer) - 2,
        "eos_token_id": len(tokenizer) - 1,
    }


def random_shap_e(folder: Path, monkeypatch, seed=0):
    """Written to `folder` as diffusers writes it; meshes are decoded on a grid of 20^3 instead of 128^3."""
    mend_torchvision()
    from diffusers import HeunDiscreteScheduler, PriorTransformer, ShapEPipeline
    from diffusers.pipelines.shap_e.renderer import ShapERenderer
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    torch.manual_seed(seed)
    words = tokenizer(24)
    prior = PriorTransformer(
        num_attention_heads=2,
        attention_head_dim=16,
        embedding_dim=16,
        num_embeddings=32,
        embedding_proj_dim=16,
        time_embed_dim=64,
        num_layers=1,
        clip_embed_dim=32,
        additional_embeddings=0,
        time_embed_act_fn="gelu",
        norm_in_type="layer",
        encoder_hid_proj_type=None,
        added_emb_type=None,
    )
    renderer = ShapERenderer(
        param_shapes=((8, 93), (8, 8), (8, 8), (8, 8)), d_latent=16, d_hidden=8, n_output=12, background=(0.1, 0.1, 0.1)
    )
    cases, masks = marching_cubes_tables()
    renderer.mesh_decoder.cases.copy_(cases)
    renderer.mesh_decoder.masks.copy_(masks)
    pipeline = ShapEPipeline(
        prior=prior.eval(),
        text_encoder=CLIPTextModelWithProjection(CLIPTextConfig(**text_options(words))).eval(),
        tokenizer=words,
        scheduler=HeunDiscreteScheduler(
            beta_schedule="exp",
            num_train_timesteps=1024,
            prediction_type="sample",
            use_karras_sigmas=True,
            clip_sample=True,
            clip_sample_range=1.0,
        ),
        shap_e_renderer=renderer.eval(),
    )
    pipeline.save_pretrained(folder)
    monkeypatch.setattr(ShapERenderer, "decode_to_mesh", partialmethod(ShapERenderer.decode_to_mesh, grid_size=20))
    return pipeline


def marching_cubes_tables():
    """The tables that a trained Shap-E ships: for each of the 256 signs of a cell's corners up to five triangles of
    its twelve edges, edges along x first, then y, then z."""
    from skimage.measure import marching_cubes

    edges = {}
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        for second, first in product((0, 1), repeat=2):
            middle = np.full(3, 0.5)
            middle[others] = first, second
            edges[tuple(middle)] = len(edges)
    cases, masks = torch.zeros(256, 5, 3, dtype=torch.long), torch.zeros(256, 5, dtype=torch.bool)
    for signs in range(1, 255):
        corners = np.array([signs >> i & 1 for i in range(8)], np.float32).reshape(2, 2, 2).transpose(2, 1, 0)
        vertices, faces, _, _ = marching_cubes(2 * corners - 1, 0.0, method="lorensen")
        triangles = [[edges[tuple(v)] for v in vertices[face]] for face in faces]
        cases[signs, : len(triangles)] = torch.tensor(triangles)
        masks[signs, : len(triangles)] = True
    return cases, masks


def random_clip(folder: Path, seed=0):
    """A CLIP of images of 16 x 16 in 4 x 4 patches, as transformers keeps it."""
    mend_torchvision()
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(seed)
    words = tokenizer(24)
    vision = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 16, "patch_size": 4, "projection_dim": 16}
    model = CLIPModel(CLIPConfig(text_config=text_options(words), vision_config=vision, projection_dim=16)).eval()
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return model


def random_point_e(folder: Path, monkeypatch, seed=0):
    """Point-E's own networks, narrow and with random weights: .pt files and CLIP in `folder`. Needs the package."""
    from point_e.models.configs import MODEL_CONFIGS, model_from_config
    from point_e.models.download import MODEL_PATHS

    from gsd.init.parts.point_e_clip import PointEClip, replace_clip

    random_clip(folder / "clip")
    torch.manual_seed(seed)
    small = {"width": 32, "layers": 2, "heads": 2}
    with replace_clip(PointEClip(folder / "clip", torch.device("cpu"))):
        for name in ("base40M-textvec", "base40M", "base1B", "upsample"):
            points = {"n_ctx": 192, "cond_ctx": 64} if name == "upsample" else {"n_ctx": 64}
            monkeypatch.setitem(MODEL_CONFIGS, name, MODEL_CONFIGS[name] | small | points)
            network = model_from_config(MODEL_CONFIGS[name], torch.device("cpu"))
            torch.nn.init.normal_(network.output_proj.weight, std=0.1)  # zero as it is made: every point a corner
            torch.save(network.state_dict(), folder / MODEL_PATHS[name].rsplit("/", 1)[-1])
