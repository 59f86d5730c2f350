"""Makes tests/golden/worker_models/: tiny random models as transformers saves them, their logits, and SmolLM2's.

Made with torch 2.15.0, transformers 5.23.0, safetensors 0.8.0, gguf 0.19.0 on CPU in fp32:
    python make_model_goldens.py OUT_DIR SMOLLM2.gguf
Every folder of a tiny model also holds golden.safetensors: `ids` [T] and `offsets` [R + 1] (rows end to end) and
`logits` [T, V], each row run alone. smollm2.safetensors holds, per prompt p, `ids_p`, `logits_p` (every
`logit_stride`-th logit of every position) and `greedy_p`, the ids that greedy decoding adds.
"""
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

ROW_LENGTHS = [7, 1, 12]
VOCAB = 64
LOGIT_STRIDE = 97
PROMPTS = {  # ids, so that the golden does not depend on a tokenizer
    "capital": [504, 3575, 282, 4649, 314],  # "The capital of France is"
    "chat": [1, 4093, 198, 5345, 17, 2],
}

LLAMA = dict(vocab_size=VOCAB, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
             max_position_embeddings=64, initializer_range=0.3, bos_token_id=1, eos_token_id=2)
GPT2 = dict(vocab_size=VOCAB, n_embd=16, n_layer=2, n_head=4, n_positions=32, initializer_range=0.3,
            bos_token_id=1, eos_token_id=[2, 3])


def randomise(model):
    """Norms and biases start at one and zero, where mistakes do not show."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p.copy_(torch.randn_like(p) * 0.3 + (1.0 if "weight" in name else 0.0))


def make(out, name, model, dtype=torch.float32, **save):
    randomise(model)
    model = model.to(dtype)
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    (model.transformer if save.pop("bare", False) else model).save_pretrained(folder, **save)
    # Read back: .float() would leave bf16's rounding in the rotary frequencies.
    model = type(model).from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.randint(0, VOCAB, (sum(ROW_LENGTHS),))
    offsets = torch.tensor([0] + ROW_LENGTHS).cumsum(0)
    with torch.no_grad():
        logits = torch.cat([model(row[None]).logits[0] for row in ids.split(ROW_LENGTHS)])
    save_file({"ids": ids, "offsets": offsets, "logits": logits}, folder / "golden.safetensors")


def main():
    out = Path(sys.argv[1])
    torch.manual_seed(0)
    make(out, "llama_grouped_sharded",
         LlamaForCausalLM(LlamaConfig(**LLAMA, num_key_value_heads=2, attention_bias=True)), max_shard_size="24KB")
    make(out, "llama_tied_llama3_bf16", LlamaForCausalLM(LlamaConfig(
        **LLAMA, num_key_value_heads=1, head_dim=16, tie_word_embeddings=True,
        rope_parameters={"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 16})), dtype=torch.bfloat16)
    make(out, "llama_linear_mlp_bias", LlamaForCausalLM(LlamaConfig(
        **LLAMA, mlp_bias=True, rms_norm_eps=1e-3,
        rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0})))
    make(out, "gpt2_tied", GPT2LMHeadModel(GPT2Config(**GPT2)))
    make(out, "gpt2_bare", GPT2LMHeadModel(GPT2Config(
        **GPT2, n_inner=48, scale_attn_by_inverse_layer_idx=True, layer_norm_epsilon=1e-3)), bare=True)

    gguf = Path(sys.argv[2])
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32).eval()
    tensors = {"logit_stride": torch.tensor([LOGIT_STRIDE])}
    for name, ids in PROMPTS.items():
        prompt = torch.tensor([ids])
        with torch.no_grad():
            logits = model(prompt).logits[0]
            full = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=8, do_sample=False)
        tensors["ids_" + name] = prompt[0]
        tensors["logits_" + name] = logits[:, ::LOGIT_STRIDE].contiguous()
        tensors["greedy_" + name] = full[0, len(ids):].contiguous()
    save_file(tensors, out / "smollm2.safetensors")
    print({k: v.tolist() for k, v in tensors.items() if not k.startswith("logits")})


main()
