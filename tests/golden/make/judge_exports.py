"""Judges exported files with the readers of the ecosystem: the package gguf's reader and dequantiser, transformers (folders
and its GGUF path) and peft. Not part of the tests; figures go to docs/exporting.md.
Made with: torch 2.15, transformers 5.23, peft 0.21, gguf 0.19, safetensors.

    python judge_exports.py BASE_FOLDER OUT

BASE_FOLDER: the base exported as merged. OUT holds peft/ serving/ merged/ gguf-f32/ gguf-f16/ gguf-q8_0/ gguf-lora/, as
far as there are. Everything is compared with base + peft/ as peft computes it, in fp32."""
import pathlib
import sys

import gguf
import numpy as np
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base_folder, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
tokenizer = AutoTokenizer.from_pretrained(base_folder)
PROMPTS = ["The capital of France is", "def add(a, b):\n    return",
           tokenizer.apply_chat_template([{"role": "user", "content": "Hello, who are you?"}],
                                         add_generation_prompt=True, tokenize=False)]


def load(folder, **options):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options).eval()


def logits(model):
    with torch.no_grad():
        return torch.cat([model(torch.tensor([tokenizer(p)["input_ids"]])).logits[0] for p in PROMPTS])


want = logits(PeftModel.from_pretrained(load(base_folder), out / "peft"))
bare = logits(load(base_folder))


def tell(name, got, note=""):
    relative = ((got - want).norm() / want.norm()).item()
    same = (got.argmax(-1) == want.argmax(-1)).float().mean().item()
    print(f"{name:28} relative {relative:.2e}  largest {(got - want).abs().max().item():.2e}  argmax equal {same:.3f}  {note}")


tell("base alone", bare, "what the adapter changes")
if (out / "serving").exists():
    tell("serving (peft)", logits(PeftModel.from_pretrained(load(base_folder), out / "serving")))
if (out / "merged").exists():
    merged = load(out / "merged")
    tell("merged (transformers)", logits(merged), f"eos {merged.generation_config.eos_token_id}")
for kind in ("f32", "f16", "q8_0"):
    folder = out / f"gguf-{kind}"
    if not folder.exists():
        continue
    read = AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
    same = all(read(p, add_special_tokens=False)["input_ids"] == tokenizer(p, add_special_tokens=False)["input_ids"] for p in PROMPTS)
    tell(f"gguf {kind} (transformers)", logits(load(folder, gguf_file="model.gguf")),
         f"tokens equal {same}, template equal {read.chat_template == tokenizer.chat_template}")
    # Every tensor through the package's dequantiser, against the merged weights.
    weights = {k: v.numpy() for k, v in merged.state_dict().items()}
    worst = 0.0
    reader = gguf.GGUFReader(folder / "model.gguf")
    config = merged.config
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        name = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
                "output.weight": "lm_head.weight"}.get(tensor.name)
        if name is None:
            _, layer, leaf, kind_ = tensor.name.split(".")
            name = f"model.layers.{layer}." + {
                "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
                "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
                "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
                "ffn_norm": "post_attention_layernorm"}[leaf] + "." + kind_
        w = weights[name]
        if "attn_q." in tensor.name or "attn_k." in tensor.name:  # as llama.cpp's converter permutes them
            heads = config.num_attention_heads if "attn_q." in tensor.name else config.num_key_value_heads
            w = w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)
        worst = max(worst, np.linalg.norm(values.reshape(w.shape) - w) / np.linalg.norm(w))
    print(f"{'gguf ' + kind + ' (gguf package)':28} {len(reader.tensors)} tensors, worst relative {worst:.2e}")
folder = out / "gguf-lora"
if folder.exists():
    reader = gguf.GGUFReader(folder / "adapter.gguf")
    field = lambda name: reader.get_field(name).contents()
    alpha = field("adapter.lora.alpha")
    print("gguf-lora:", field("general.type"), field("adapter.type"), field("general.architecture"), "alpha", alpha)
    factors = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    # Merged by hand as llama.cpp applies it: alpha / rank x B A, in the row order of the file.
    model = load(base_folder)
    state = model.state_dict()
    config = model.config
    leaves = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
              "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    for name in [n for n in factors if n.endswith(".lora_a")]:
        a, b = factors[name], factors[name[:-1] + "b"]
        update = torch.tensor(alpha / a.shape[0] * (b @ a))
        _, layer, leaf = name.split(".")[:3]
        if leaf in ("attn_q", "attn_k"):
            heads = config.num_attention_heads if leaf == "attn_q" else config.num_key_value_heads
            update = update.reshape(heads, -1, 2, update.shape[1]).swapaxes(1, 2).reshape(update.shape)
        state[f"model.layers.{layer}.{leaves[leaf]}.weight"] += update
    tell("gguf-lora (gguf package)", logits(model), "merged by hand as llama.cpp does")
