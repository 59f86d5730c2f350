#!/usr/bin/env python3
"""Makes tests/golden/training: tiny models, PEFT adapters, and what peft and torch compute with them.

Made with torch 2.15.0, transformers 5.23.0, peft 0.21.0, safetensors 0.8.0. Run in a virtual environment that has them:
    python3 tests/golden/make/make_training_goldens.py               writes the goldens
    python3 tests/golden/make/make_training_goldens.py --check DIR   opens the adapter in DIR (which our test exported, with
        logits.safetensors beside it) with peft and compares the logits; DIR/family.txt names the model

    python3 tests/golden/make/make_training_goldens.py FAMILY...     writes those of the named families alone

Per family (llama with an untied head and grouped key-value heads, gpt2 with Conv1D layers and a tied head, qwen2 with biases,
gemma3_text with windows shorter than the rows, phi3 with fused layers, gpt_neox with q, k and v of a head side by side):
    config.json, model.safetensors   a random model
    adapter/, adapter_regex/         adapters as peft writes them, with random non-zero B
    golden.json                      rows (ids and weights), losses and the settings of the curve
    golden.safetensors               logits and gradients
The loss is that of docs/design/0001-foundations.md: sum of weight x nll over all trained tokens of the global batch, divided by the
sum of their weights. Logits and gradients are computed in fp64, the loss curve in fp32 with torch.optim.AdamW.
"""
import argparse
import json
import pathlib
import shutil
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (Gemma3ForCausalLM, Gemma3TextConfig, GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM,
                          LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM, Qwen2Config, Qwen2ForCausalLM)

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "training"
VOCAB = 48
CURVE = dict(rows_per_step=4, steps=20, learning_rate=0.02, weight_decay=0.01, clip_norm=0.5, warmup_steps=4)


# The fewest layers and numbers that show everything a family does. No padding token: torch gives its embedding no gradient.
SIZES = dict(vocab_size=VOCAB, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
             max_position_embeddings=64, bos_token_id=1, eos_token_id=2)
GROUPED = dict(num_key_value_heads=1, tie_word_embeddings=False)
FAMILIES = {  # class, config, seed
    "llama": (LlamaForCausalLM, LlamaConfig(**SIZES, **GROUPED), 1),
    "gpt2": (GPT2LMHeadModel, GPT2Config(
        vocab_size=VOCAB, n_embd=16, n_layer=2, n_head=2, n_positions=64, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, bos_token_id=1, eos_token_id=2), 2),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**SIZES, **GROUPED), 3),
    "gemma3_text": (Gemma3ForCausalLM, Gemma3TextConfig(
        **SIZES, num_key_value_heads=1, head_dim=12, query_pre_attn_scalar=16, sliding_window=5, pad_token_id=None,
        layer_types=["sliding_attention", "full_attention"]), 4),
    "phi3": (Phi3ForCausalLM, Phi3Config(**SIZES, **GROUPED, pad_token_id=None, sliding_window=6), 5),
    "gpt_neox": (GPTNeoXForCausalLM, GPTNeoXConfig(
        **SIZES, rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}), 6),
}
LEAVES = {  # linear layers: all of them, and one of attention
    "llama": (["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], "q_proj"),
    "phi3": (["qkv_proj", "o_proj", "gate_up_proj", "down_proj"], "qkv_proj"),
    "gpt_neox": (["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"], "query_key_value"),
}


def make_model(family):
    model_class, config, seed = FAMILIES[family]
    torch.manual_seed(seed)
    model = model_class(config)
    with torch.no_grad():
        for parameter in model.parameters():
            # The library's start is so small that every token looks alike.
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def lora_configs(family):
    common = dict(task_type="CAUSAL_LM", r=4, lora_alpha=8)
    if family != "gpt2":
        leaves, attention = LEAVES.get(family, LEAVES["llama"])
        base = "gpt_neox" if family == "gpt_neox" else "model"
        module = "attention" if family == "gpt_neox" else "self_attn"
        some = "(q|v)_proj" if attention == "q_proj" else attention
        return {
            "adapter": LoraConfig(
                target_modules=leaves, rank_pattern={f"{base}.layers.1.{module}.{attention}": 6},
                alpha_pattern={leaves[-1]: 12}, **common),
            "adapter_regex": LoraConfig(
                target_modules=rf"{base}\.layers\.\d+\.{module}\.{some}", use_rslora=True,
                rank_pattern={rf"layers\.0\.{module}\..*": 2}, **common),
        }
    return {
        "adapter": LoraConfig(target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True,
                              alpha_pattern={"transformer.h.1.mlp.c_proj": 3}, **common),
        "adapter_regex": LoraConfig(target_modules=["transformer.h.1.attn.c_attn", "mlp.c_proj"], fan_in_fan_out=True,
                                    use_rslora=True, **common),
    }


def make_rows():
    """Random rows: a prompt of weight 0, then trained tokens of several weights."""
    generator = torch.Generator().manual_seed(3)
    rows = []
    for index in range(12):
        length = int(torch.randint(3, 18, (), generator=generator))
        prompt = int(torch.randint(1, length, (), generator=generator))
        weight = [1.0, 0.5, 2.0][index % 3]
        rows.append(dict(ids=torch.randint(0, VOCAB, (length,), generator=generator).tolist(),
                         weights=[0.0] * prompt + [weight] * (length - prompt)))
    return rows


def row_logits(model, row):
    return model(input_ids=torch.tensor([row["ids"]])).logits[0]


def global_loss(model, rows):
    """Law 2: one sum over the global batch, one division."""
    numerator, denominator = 0.0, 0.0
    for row in rows:
        weights = torch.tensor(row["weights"][1:], dtype=torch.float64)
        log_probs = torch.log_softmax(row_logits(model, row)[:-1], dim=-1)
        nll = -log_probs.gather(1, torch.tensor(row["ids"][1:]).unsqueeze(1)).squeeze(1)
        numerator = numerator + (nll * weights.to(nll.dtype)).sum()
        denominator += float(weights.sum())
    return numerator / denominator


def schedule_factor(step):
    """worker/optim/schedule.h: linear warm-up that moves at once, then linear to zero."""
    warmup, total = CURVE["warmup_steps"], CURVE["steps"]
    return (step + 1) / warmup if step < warmup else 1.0 - (step - warmup) / (total - warmup)


def train_curve(model, rows):
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=CURVE["learning_rate"], weight_decay=CURVE["weight_decay"])
    losses, norms = [], []
    for step in range(CURVE["steps"]):
        count = CURVE["rows_per_step"]
        batch = [rows[(step * count + i) % len(rows)] for i in range(count)]
        for group in optimizer.param_groups:
            group["lr"] = CURVE["learning_rate"] * schedule_factor(step)
        loss = global_loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(parameters, CURVE["clip_norm"])))
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses, norms


def saved_name(name):
    """A parameter of a PeftModel -> its name in adapter_model.safetensors."""
    return name.replace(".default.weight", ".weight")


def make_family(family):
    folder = FOLDER / family
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make_model(family).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    rows = make_rows()
    golden = dict(rows=rows, curve=dict(CURVE))
    tensors = {}

    full = make_model(family).double()
    loss = global_loss(full, rows)
    loss.backward()
    golden["base_loss"] = float(loss.detach())
    for name, parameter in full.named_parameters():
        # As the files call it; transformers 5 renames it on the way in.
        name = name.replace("lm_head.", "embed_out.") if family == "gpt_neox" else name
        tensors[f"full_grad/{name}"] = parameter.grad.float()

    for adapter, config in lora_configs(family).items():
        torch.manual_seed(5)
        model = get_peft_model(make_model(family), config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(0.0, 0.2)
        model.eval()
        model.save_pretrained(folder / adapter)
        (folder / adapter / "README.md").unlink(missing_ok=True)
        model.double()
        loss = global_loss(model, rows)
        loss.backward()
        golden[f"{adapter}_loss"] = float(loss.detach())
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                tensors[f"{adapter}_grad/{saved_name(name)}"] = parameter.grad.float()
        with torch.no_grad():
            tensors[f"{adapter}_logits"] = torch.cat([row_logits(model, row) for row in rows]).float()

    model = PeftModel.from_pretrained(make_model(family), folder / "adapter", is_trainable=True)
    golden["curve"]["losses"], golden["curve"]["gradient_norms"] = train_curve(model, rows)

    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "golden.safetensors")
    (folder / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")
    for config in folder.glob("**/adapter_config.json"):
        # The path of the machine that made it says nothing.
        fields = json.loads(config.read_text())
        fields["base_model_name_or_path"] = f"tiny-{family}"
        if isinstance(fields["target_modules"], list):
            fields["target_modules"].sort()
        config.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n")
    print(family, {key: value for key, value in golden.items() if key.endswith("loss")}, golden["curve"]["losses"],
          golden["curve"]["gradient_norms"])


def check(folder):
    """Opens an exported adapter with peft and compares its logits with those beside it."""
    family = (folder / "family.txt").read_text().strip()
    rows = json.loads((FOLDER / family / "golden.json").read_text())["rows"]
    model = PeftModel.from_pretrained(make_model(family), folder).eval().double()
    with torch.no_grad():
        wanted = torch.cat([row_logits(model, row) for row in rows])
    got = load_file(folder / "logits.safetensors")["logits"].double()
    error = float((got - wanted).norm() / wanted.norm())
    print(f"{family}: relative difference of the logits {error:.3g}")
    return 0 if error <= 1e-4 else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", type=pathlib.Path, metavar="DIR")
    parser.add_argument("families", nargs="*", metavar="FAMILY")
    arguments = parser.parse_args()
    if arguments.check:
        sys.exit(check(arguments.check))
    for family in arguments.families or FAMILIES:
        make_family(family)


if __name__ == "__main__":
    main()
