"""Makes tests/golden/worker_models/: tiny random models as transformers saves them, their logits, and SmolLM2's.

Made with torch 2.15.0, transformers 5.23.0, safetensors 0.8.0, gguf 0.19.0 on CPU in fp32:
    python make_model_goldens.py OUT_DIR SMOLLM2.gguf
    python make_model_goldens.py OUT_DIR [NAME...]      the folders of FAMILIES below (all, or those named)
Every folder of a tiny model also holds golden.safetensors: `ids` [T] and `offsets` [R + 1] (rows end to end) and
`logits` [T, V], each row run alone. Folders of FAMILIES (weights drawn from a seed, kept in bf16, run in fp32) also hold
`greedy`, the ids that greedy decoding with a key-value cache adds to the first PROMPT tokens of the first row,
`grad/NAME`, two numbers of each parameter's gradient (its norm, and its product with a ramp from -1 to 1), and
`embedding_grad`, of the input embedding as a whole. The loss is the mean nll of every next token over all rows.
smollm2.safetensors holds, per prompt p, `ids_p`, `logits_p` (every `logit_stride`-th logit of every position) and
`greedy_p`, the ids that greedy decoding adds.
"""
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (AutoModelForCausalLM, Gemma2Config, Gemma2ForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig,
                          GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM,
                          MistralConfig, MistralForCausalLM, Olmo2Config, Olmo2ForCausalLM, Phi3Config, Phi3ForCausalLM,
                          Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM, SmolLM3Config, SmolLM3ForCausalLM)

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


# Rows longer than every window; head_dim is not hidden_size / heads where the family has the field.
PROMPT, NEW_TOKENS = 6, 14
SIZES = dict(vocab_size=48, hidden_size=32, intermediate_size=40, num_attention_heads=4, max_position_embeddings=64,
             initializer_range=0.3, bos_token_id=1, eos_token_id=2, pad_token_id=0)
S, F = "sliding_attention", "full_attention"
GEMMA = dict(**SIZES, head_dim=12, query_pre_attn_scalar=24, sliding_window=5)
FAMILIES = {  # class, config
    "llama_dynamic": (LlamaForCausalLM, lambda: LlamaConfig(
        **SIZES | dict(max_position_embeddings=8), num_hidden_layers=2, num_key_value_heads=4,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0})),
    "llama_yarn": (LlamaForCausalLM, lambda: LlamaConfig(
        **SIZES, num_hidden_layers=2, num_key_value_heads=1, head_dim=16,
        rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "beta_fast": 4.0, "beta_slow": 0.5,
                         "original_max_position_embeddings": 16})),
    "mistral": (MistralForCausalLM, lambda: MistralConfig(
        **SIZES, num_hidden_layers=2, num_key_value_heads=2, head_dim=12, sliding_window=5)),
    "qwen2": (Qwen2ForCausalLM, lambda: Qwen2Config(
        **SIZES, num_hidden_layers=3, num_key_value_heads=2, tie_word_embeddings=True, use_sliding_window=True,
        sliding_window=6, max_window_layers=1)),
    "qwen3": (Qwen3ForCausalLM, lambda: Qwen3Config(
        **SIZES, num_hidden_layers=2, num_key_value_heads=1, head_dim=12)),
    "gemma2": (Gemma2ForCausalLM, lambda: Gemma2Config(
        **GEMMA, num_hidden_layers=3, num_key_value_heads=2, attn_logit_softcapping=5.0, final_logit_softcapping=3.0)),
    "gemma3": (Gemma3ForCausalLM, lambda: Gemma3TextConfig(
        **GEMMA, num_hidden_layers=4, num_key_value_heads=1, tie_word_embeddings=False, layer_types=[S, S, F, S],
        rope_parameters={
            F: {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
            S: {"rope_type": "default", "rope_theta": 10000.0}})),
    "phi3": (Phi3ForCausalLM, lambda: Phi3Config(
        **SIZES, num_hidden_layers=2, num_key_value_heads=2, sliding_window=7, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75})),
    "phi3_longrope": (Phi3ForCausalLM, lambda: Phi3Config(
        **SIZES, num_hidden_layers=2, num_key_value_heads=4, original_max_position_embeddings=12, rope_parameters={
            "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.1, 1.3, 1.6],
            "long_factor": [1.0, 2.0, 4.5, 7.0]})),
    "gpt_neox": (GPTNeoXForCausalLM, lambda: GPTNeoXConfig(
        **SIZES, num_hidden_layers=2, rope_parameters={"rope_type": "default", "rope_theta": 10000.0,
                                                       "partial_rotary_factor": 0.5})),
    "gpt_neox_one_after_the_other": (GPTNeoXForCausalLM, lambda: GPTNeoXConfig(
        **SIZES, num_hidden_layers=2, use_parallel_residual=False, attention_bias=False, hidden_act="gelu_new",
        tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 500.0,
                                                   "partial_rotary_factor": 1.0})),
    "smollm3": (SmolLM3ForCausalLM, lambda: SmolLM3Config(
        **SIZES, num_hidden_layers=4, num_key_value_heads=2, no_rope_layers=[1, 0, 1, 0], use_sliding_window=True,
        sliding_window=6, layer_types=[F, S, F, F], mlp_bias=True, attention_bias=True)),
    "olmo2": (Olmo2ForCausalLM, lambda: Olmo2Config(**SIZES, num_hidden_layers=2, num_key_value_heads=2)),
}


def row_gradients(model, rows):
    total = sum(len(row) - 1 for row in rows)
    for row in rows:
        with torch.no_grad():
            model(row[None, :1])  # dynamic scaling keeps the frequencies of the longest row until a short one comes
        logits = model(row[None]).logits[0, :-1]
        (torch.nn.functional.cross_entropy(logits, row[1:], reduction="sum") / total).backward()
    tensors = {"embedding_grad": model.get_input_embeddings().weight.grad}
    for name, parameter in model.named_parameters():
        grad = parameter.grad.flatten()
        tensors[f"grad/{name}"] = torch.stack([grad.norm(), grad @ torch.linspace(-1, 1, grad.numel())])
    return tensors


def make_family(out, name, seed):
    model_class, config = FAMILIES[name]
    torch.manual_seed(seed)
    model = model_class(config())
    is_offset = name.startswith("gemma")  # its norms are kept as w - 1
    with torch.no_grad():
        for parameter_name, p in model.named_parameters():
            if p.dim() == 1:
                p.copy_(torch.randn_like(p) * 0.3 + (1.0 if "weight" in parameter_name and not is_offset else 0.0))
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    # Eager: the other ways know no caps.
    model = model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    rows = torch.randint(3, SIZES["vocab_size"], (29,)).split([19, 1, 9])
    tensors = {"ids": torch.cat(rows), "offsets": torch.tensor([0, 19, 20, 29])}
    with torch.no_grad():
        tensors["logits"] = torch.cat([model(row[None]).logits[0] for row in rows])
        prompt = rows[0][None, :PROMPT]
        full = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=NEW_TOKENS,
                              min_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=None)
        tensors["greedy"] = full[0, PROMPT:]
    tensors |= row_gradients(model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager"),
                             [row for row in rows if len(row) > 1])
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / "golden.safetensors")
    print(name, "largest logit", float(tensors["logits"].abs().max()), "greedy", tensors["greedy"].tolist())


def main():
    out = Path(sys.argv[1])
    if len(sys.argv) < 3 or not sys.argv[2].endswith(".gguf"):
        for seed, name in enumerate(FAMILIES):
            if len(sys.argv) < 3 or name in sys.argv[2:]:
                make_family(out, name, 100 + seed)
        return
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
