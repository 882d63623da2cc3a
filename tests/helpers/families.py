"""Pipelines of every family that gsd knows, with random weights, small enough to make in a second."""

from pathlib import Path

import torch
from pipelines import TOKENS, small_clip, small_vae

from gsd.backend.torchvision_mend import mend_torchvision

LETTERS = "abcdefghijklmnopqrstuvwxyz, "
WIDE = 32  # of T5


def _clip(projection):
    return small_clip(2, TOKENS, projection)


def _t5():
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS[:-1])]
    tokenizer = T5Tokenizer(vocab=words, extra_ids=0, model_max_length=TOKENS)
    config = T5Config(vocab_size=len(words), d_model=WIDE, d_ff=32, d_kv=8, num_layers=1, num_heads=2)
    return tokenizer, T5EncoderModel(config).eval()


def _gemma():
    from transformers import Gemma2Config, Gemma2Model, GemmaTokenizer

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    words = {word: k for k, word in enumerate([*special, "▁", *LETTERS[:-1]])}
    config = Gemma2Config(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
    )
    return GemmaTokenizer(vocab=words, merges=[]), Gemma2Model(config).eval()


def sdxl():
    from diffusers import DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

    (tokenizer, encoder), (tokenizer_2, encoder_2) = _clip(False), _clip(True)
    unet = UNet2DConditionModel(
        sample_size=8,
        layers_per_block=1,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=2,
        norm_num_groups=8,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
    )
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)
    return StableDiffusionXLPipeline(
        small_vae(force_upcast=True), encoder, encoder_2, tokenizer, tokenizer_2, unet.eval(), scheduler
    )


def sd3():
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    (tokenizer, encoder), (tokenizer_2, encoder_2), (tokenizer_3, encoder_3) = _clip(True), _clip(True), _t5()
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_projection_dim=16,
        joint_attention_dim=WIDE,
        pooled_projection_dim=32,
        pos_embed_max_size=16,
    )
    return StableDiffusion3Pipeline(
        transformer.eval(),
        FlowMatchEulerDiscreteScheduler(shift=3.0),
        small_vae(shift_factor=0.06),
        encoder,
        tokenizer,
        encoder_2,
        tokenizer_2,
        encoder_3,
        tokenizer_3,
    )


def flux(guidance_embeds=True):
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    (tokenizer, encoder), (tokenizer_2, encoder_2) = _clip(False), _t5()
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDE,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=guidance_embeds,
    )
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    vae = small_vae(shift_factor=0.1)
    return FluxPipeline(scheduler, vae, encoder, tokenizer, encoder_2, tokenizer_2, transformer.eval())


def pixart():
    from diffusers import DPMSolverMultistepScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel

    tokenizer, encoder = _t5()
    transformer = PixArtTransformer2DModel(
        sample_size=8,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        out_channels=8,
        cross_attention_dim=16,
        caption_channels=WIDE,
        use_additional_conditions=False,
    )
    return PixArtSigmaPipeline(tokenizer, encoder, small_vae(), transformer.eval(), DPMSolverMultistepScheduler())


def sana():
    from diffusers import AutoencoderDC, DPMSolverMultistepScheduler, SanaPipeline, SanaTransformer2DModel

    tokenizer, encoder = _gemma()
    kinds, sizes = ("ResBlock", "EfficientViTBlock"), (8, 16)
    vae = AutoencoderDC(
        latent_channels=4,
        attention_head_dim=4,
        encoder_block_types=kinds,
        decoder_block_types=kinds,
        encoder_block_out_channels=sizes,
        decoder_block_out_channels=sizes,
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        scaling_factor=0.4,
    )
    transformer = SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=8,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=16,
        sample_size=8,
        patch_size=1,
    )
    scheduler = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    return SanaPipeline(tokenizer, encoder, vae.eval(), transformer.eval(), scheduler)


MAKERS = {"sdxl": sdxl, "sd3": sd3, "flux": flux, "pixart": pixart, "sana": sana}


def random_family(name: str, folder: Path, seed=0):
    """Written to `folder` as diffusers writes it; latents are 8 x 8, images 16 x 16. Returns the pipeline."""
    mend_torchvision()
    torch.manual_seed(seed)
    pipe = MAKERS[name]()
    for part in (pipe.components["unet" if name == "sdxl" else "transformer"],):
        for parameter in part.parameters():  # some start at 0, which hides errors
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    pipe.save_pretrained(folder)
    return pipe
