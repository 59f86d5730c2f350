"""Makes tests/golden/worker_models/gguf_*: tiny random models as the GGUF files that llama.cpp's converter would make of
them, and the logits that transformers computes with the original.

    python make_gguf_family_goldens.py

Made with gguf 0.19.0, transformers 5.23.0, torch 2.15.0, safetensors 0.8.0. golden.safetensors holds `ids` [T] and `logits`
[T, V] of one row, longer than the windows and than the original context of scaled positions.
"""
import pathlib
import shutil

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import (Gemma2Config, Gemma2ForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig,
                          LlamaForCausalLM, Phi3Config, Phi3ForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config,
                          Qwen3ForCausalLM)

OUT = pathlib.Path(__file__).resolve().parent.parent / "worker_models"
VOCAB, ROW = 24, 17
SIZES = dict(vocab_size=VOCAB, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2,
             num_key_value_heads=1, max_position_embeddings=32, initializer_range=0.3, bos_token_id=1, eos_token_id=2,
             pad_token_id=0)
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 8192}


def base_fields(writer, config):
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def llama_fields(writer, config):
    """Llama 3.2's factors, as the converter writes them: a tensor without a word on where it comes from."""
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    frequencies = 1.0 / rope["rope_theta"] ** (torch.arange(0, config.head_dim, 2).float() / config.head_dim)
    low, high, context = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    factors = []
    for frequency in frequencies:
        wavelength = 2 * np.pi / frequency
        smooth = (context / wavelength - low) / (high - low)
        factors.append(1 if wavelength < context / high else rope["factor"] if wavelength > context / low
                       else 1 / ((1 - smooth) / rope["factor"] + smooth))
    writer.add_tensor("rope_freqs.weight", np.array(factors, dtype=np.float32))


def qwen2_fields(writer, config):
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(config.rope_parameters["factor"])
    writer.add_rope_scaling_orig_ctx_len(config.rope_parameters["original_max_position_embeddings"])


def qwen3_fields(writer, config):
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)


def gemma_fields(writer, config):
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_sliding_window(config.sliding_window)


def gemma2_fields(writer, config):
    gemma_fields(writer, config)
    writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
    writer.add_final_logit_softcapping(config.final_logit_softcapping)


def gemma3_fields(writer, config):
    gemma_fields(writer, config)
    writer.add_rope_freq_base(config.rope_parameters["full_attention"]["rope_theta"])
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(config.rope_parameters["full_attention"]["factor"])


def phi3_fields(writer, config):
    writer.add_rope_dimension_count(int(config.rope_parameters["partial_rotary_factor"] * 8))
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_sliding_window(config.sliding_window)


MODELS = {  # class, config, fields
    "llama": (LlamaForCausalLM, LlamaConfig(**SIZES, head_dim=16, rope_parameters=LLAMA3), llama_fields),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**SIZES, rope_parameters={
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 8}), qwen2_fields),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**SIZES, head_dim=12, rope_parameters={
        "rope_type": "default", "rope_theta": 1000000.0}), qwen3_fields),
    "gemma2": (Gemma2ForCausalLM, Gemma2Config(
        **SIZES, head_dim=12, query_pre_attn_scalar=12, sliding_window=5, attn_logit_softcapping=5.0,
        final_logit_softcapping=3.0), gemma2_fields),
    "gemma3": (Gemma3ForCausalLM, Gemma3TextConfig(
        **SIZES | dict(num_hidden_layers=6), head_dim=12, query_pre_attn_scalar=12, sliding_window=5, rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}), gemma3_fields),
    "phi3": (Phi3ForCausalLM, Phi3Config(**SIZES, sliding_window=6, rope_parameters={
        "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}), phi3_fields),
}


def interleave(weight, heads):
    """The converter's order of rotary rows."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def change(name, key, array, config):
    if name == "llama" and "q_proj" in key:
        return interleave(array, config.num_attention_heads)
    if name == "llama" and "k_proj" in key:
        return interleave(array, config.num_key_value_heads)
    return array + 1 if name.startswith("gemma") and key.endswith("norm.weight") else array


def make(name, seed):
    model_class, config, fields = MODELS[name]
    torch.manual_seed(seed)
    model = model_class._from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.dim() == 1:
                offset = 1.0 if "weight" in key and not name.startswith("gemma") else 0.0
                parameter.copy_(torch.randn_like(parameter) * 0.3 + offset)
    folder = OUT / f"gguf_{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    writer = gguf.GGUFWriter(folder / "model.gguf", name)
    base_fields(writer, config)
    fields(writer, config)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"t{i}" for i in range(VOCAB)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[name.upper()], config.num_hidden_layers)
    for key, tensor in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        array = change(name, key, tensor.contiguous().numpy(), config)
        writer.add_tensor(names.get_name(key, try_suffixes=(".weight", ".bias")), np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    ids = torch.randint(0, VOCAB, (ROW,))
    with torch.no_grad():
        logits = model(ids[None]).logits[0]
    save_file({"ids": ids, "logits": logits.contiguous()}, folder / "golden.safetensors")
    print(name, "largest logit", float(logits.abs().max()))


for number, model_name in enumerate(MODELS):
    make(model_name, 200 + number)
