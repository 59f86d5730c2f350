"""Makes tests/golden/storage: what the Python packages read from GGUF blocks and from SmolLM2's GGUF file, and tiny
random models as Hugging Face saves them beside the GGUF files that llama.cpp's converter would make of them.

    python make_gguf_goldens.py [PATH/TO/SmolLM2-135M-Instruct.Q4_1.gguf]

Without the path only the blocks are made.

Made with gguf 0.19.0, transformers 5.23.0, torch 2.15.0, numpy 2.4.6, safetensors 0.8.0.
"""
import hashlib
import json
import pathlib
import sys

import gguf
import numpy as np
import torch
import transformers
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).resolve().parent.parent / "storage"
BLOCKS = 24
SUPER_BLOCKS = 6
# Where in a block of a type its halves stand.
HALVES_AT = {"Q4_1": [0, 2], "Q5_1": [0, 2], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
RANDOM = np.random.default_rng(7)


def halves(count):
    """Finite halves of every size, subnormal and negative ones too."""
    bits = RANDOM.integers(0, 1 << 16, size=count, dtype=np.uint16)
    infinite = (bits & 0x7C00) == 0x7C00
    bits[infinite] &= 0xBFFF
    return bits


def random_bytes(kind):
    if kind == "F32":
        return RANDOM.standard_normal(32 * BLOCKS).astype(np.float32).view(np.uint8)
    if kind == "F16":
        return halves(32 * BLOCKS).view(np.uint8)
    if kind == "BF16":
        return (RANDOM.standard_normal(32 * BLOCKS).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    _, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    count = SUPER_BLOCKS if kind.endswith("_K") else BLOCKS
    blocks = RANDOM.integers(0, 256, size=(count, size), dtype=np.uint8)
    for at in HALVES_AT.get(kind, [0]):
        scales = halves(count)
        if kind not in ("Q8_0", "Q4_0", "Q4_1"):
            scales[:4] = [0x7BFF, 0xFBFF, 0x0001, 0x8000]  # largest, its negative, smallest, negative zero
        blocks[:, at : at + 2] = scales.view(np.uint8).reshape(count, 2)
    return blocks.reshape(-1)


def quantized():
    """What the reference quantiser writes: blocks of every size, of zeros, with ties and with negative zeros."""
    rows = RANDOM.standard_normal((40, 32)).astype(np.float32) * np.exp2(RANDOM.integers(-30, 20, size=(40, 1))).astype(np.float32)
    rows[0] = 0
    rows[1, ::2] = -0.0
    rows[2] = np.arange(32, dtype=np.float32) / 2 - 7.75
    rows[2, 0] = 127  # a scale of 1: halves are ties
    rows[3] = np.float32(65504 * 100) * np.sign(rows[3])
    rows[4] = np.float32(1e-7) * rows[4]
    rows[5] = np.float32(2.0**-140)
    halves_of = np.concatenate([np.clip(rows.reshape(-1), -65504, 65504), np.float32(
        [65519.99, 65504, 2**-14, 2**-24, 2**-25, 1.5 * 2**-25, 2**-26, 1 + 2**-11, 1 + 3 * 2**-11, 2**-14 - 2**-25, 1e-45])])
    halves_of = halves_of[np.abs(halves_of) <= 65504]
    return {
        "Q8_0/from": rows.reshape(-1), "Q8_0/quantized": gguf.quantize(rows, gguf.GGMLQuantizationType.Q8_0).reshape(-1),
        "F16/from": halves_of, "F16/quantized": gguf.quantize(halves_of, gguf.GGMLQuantizationType.F16).view(np.uint8),
    }


def blocks():
    tensors = {}
    for kind in ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]:
        data = random_bytes(kind)
        values = gguf.dequantize(data, gguf.GGMLQuantizationType[kind]).astype(np.float32).reshape(-1)
        tensors[f"{kind}/bytes"] = data.copy()
        tensors[f"{kind}/values"] = values.copy()
    tensors.update({name: np.ascontiguousarray(array) for name, array in quantized().items()})
    save_file(tensors, OUT / "ggml_blocks.safetensors")


def interleave(weight, heads):
    """The converter's order of rotary rows."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(name, model, fields, change):
    arch = gguf.MODEL_ARCH[name.upper()]
    names = gguf.get_tensor_name_map(arch, model.config.num_hidden_layers)
    writer = gguf.GGUFWriter(OUT / f"tiny_{name}.gguf", name)
    for add, value in fields:
        getattr(writer, add)(value)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"t{i}" for i in range(model.config.vocab_size)])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    tensors = {}
    for key, tensor in model.state_dict().items():
        if key == "lm_head.weight":  # tied
            continue
        array = tensor.contiguous().numpy()
        tensors[key] = array
        writer.add_tensor(names.get_name(key, try_suffixes=(".weight", ".bias")), np.ascontiguousarray(change(key, array)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(tensors, OUT / f"tiny_{name}.safetensors")


def tiny_models():
    torch.manual_seed(3)
    llama = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=12, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        max_position_embeddings=32, tie_word_embeddings=True))
    heads = {"q_proj": 2, "k_proj": 1}
    write_gguf("llama", llama, [
        ("add_context_length", 32), ("add_embedding_length", 16), ("add_block_count", 2), ("add_feed_forward_length", 20),
        ("add_head_count", 2), ("add_head_count_kv", 1), ("add_layer_norm_rms_eps", llama.config.rms_norm_eps),
        ("add_rope_dimension_count", 8), ("add_vocab_size", 12),
    ], lambda key, array: interleave(array, heads[key.split(".")[-2]]) if key.split(".")[-2] in heads else array)
    gpt2 = transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=12, n_positions=8, n_embd=8, n_layer=2, n_head=2, n_inner=12))
    for parameter in gpt2.parameters():  # biases start at zero, which would hide a mix-up
        torch.nn.init.normal_(parameter)
    conv1d = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
    write_gguf("gpt2", gpt2, [
        ("add_context_length", 8), ("add_embedding_length", 8), ("add_block_count", 2), ("add_feed_forward_length", 12),
        ("add_head_count", 2), ("add_layer_norm_eps", gpt2.config.layer_norm_epsilon),
    ], lambda key, array: array.T if key.endswith(conv1d) else array)


def smollm2(path):
    path = pathlib.Path(path)
    model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    tensors = {}
    for name, tensor in model.state_dict().items():
        layer = name.split(".")[2] if name.startswith("model.layers.") else "0"
        if name == "lm_head.weight" or layer not in ("0", "14", "29"):
            continue
        array = tensor.contiguous().numpy()
        tensors[name] = {
            "shape": list(array.shape),
            "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
            "first": [float(value) for value in array.reshape(-1)[:3]],
        }
    keys = ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
            "max_position_embeddings", "rms_norm_eps", "vocab_size", "tie_word_embeddings", "bos_token_id", "eos_token_id",
            "pad_token_id"]
    config = {key: getattr(model.config, key) for key in keys}
    config["rope_theta"] = model.config.rope_parameters["rope_theta"]
    with open(path, "rb") as file:
        source = hashlib.file_digest(file, "sha256").hexdigest()
    golden = {"source_sha256": source, "num_parameters": model.num_parameters(), "config": config, "tensors": tensors}
    (OUT / "smollm2.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    print(f"gguf {__import__('importlib.metadata').metadata.version('gguf')}, transformers {transformers.__version__}, "
          f"torch {torch.__version__}, numpy {np.__version__}, safetensors {__import__('safetensors').__version__}")
    OUT.mkdir(exist_ok=True)
    blocks()
    if len(sys.argv) > 1:
        tiny_models()
        smollm2(sys.argv[1])
