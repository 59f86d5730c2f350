#!/usr/bin/env python3
"""Makes tests/golden/worker_templates/goldens.json: what transformers renders for published chat templates.

Usage: make_template_goldens.py [--full FILE]

The templates are those of trl 1.16.0 (found where tools/setup puts them; not committed) and SmolLM2's own, which is
read from its GGUF and committed beside the goldens. Every text is stored as the first 16 digits of its SHA-256 and its
length in bytes; what `generation` blocks marked, as byte spans. Of the templates with such blocks (trl's `_training`
twins) also the tokens that transformers marks (return_assistant_tokens_mask) with SmolLM2's tokenizer: the first 16
digits of the SHA-256 of the mask as a text of 0 and 1, its length and its ones. --full also writes the texts, for looking into a
difference: VERNIER_TEMPLATE_GOLDENS=FILE makes the test read that file and show both texts.

Made with transformers 5.23, jinja2 3.1.6, gguf 0.19 on Python 3.11.
"""

import argparse
import datetime
import glob
import hashlib
import json
import logging
import os

logging.disable(logging.CRITICAL)

import transformers
import transformers.utils.chat_template_utils as chat_utils

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
OUT = os.path.join(ROOT, "tests/golden/worker_templates")
CACHE = os.environ.get("VERNIER_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "vernier")
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
NOW = datetime.datetime(2026, 3, 7, 9, 5, 3)

TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "Weather of a city <now> & \"then\"",
        "parameters": {"type": "object", "properties": {
            "city": {"type": "string", "description": "The city, e.g. Zürich"},
            "days": {"type": "integer", "minimum": 1, "maximum": 7.5},
            "unit": {"type": "string", "enum": ["C", "F"]}}, "required": ["city"]},
        "return": {"type": "object", "description": "What it is like"}}},
    {"type": "function", "function": {
        "name": "add", "description": "Adds",
        "parameters": {"type": "object", "properties": {
            "a": {"type": "number"}, "b": {"type": ["number", "null"], "default": None},
            "xs": {"type": "array", "items": {"type": "string"}},
            "o": {"type": "object", "properties": {"deep": {"type": "boolean", "description": "d"}}}},
            "required": ["a", "b"]}}},
]


def system(content):
    return {"role": "system", "content": content}


def parts(text):
    return [{"type": "text", "text": text}]


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def call(name, arguments, number=1):
    return {"id": f"call_0000{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(name, content, number=1):
    return {"role": "tool", "name": name, "tool_call_id": f"call_0000{number}", "content": content}


# name -> (messages, with tools)
CONVERSATIONS = {
    "one": ([user("What is 2+2?"), assistant("It is 4.")], False),
    "system": ([system("Be terse."), user("Hi"), assistant("Hello!")], False),
    "multi": ([user("Hi"), assistant("Hello! How can I help?"), user("Name a colour."), assistant("Blue."),
               user("Another."), assistant("Red.")], False),
    "same": ([user("ok"), assistant("ok"), user("ok"), assistant("ok"), user("ok"), assistant("ok")], False),
    "unicode": ([system("Sei höflich 🙂. ΣΑΣ İ ß"), user("  Grüße, 世界!\n"),
                 assistant("  ¡Hola! \u00a0 <b>&amp;</b> 日本 'q' \"d\"\n\n")], False),
    "think": ([user("Why?"), assistant("<think>\nBecause A.\n</think>\n\nIt is so.")], False),
    "think_multi": ([user("Why?"), assistant("<think>\nBecause A.\n</think>\n\nIt is so."), user("And?"),
                     assistant("<think>\nB now.\n</think>\n\nDone.")], False),
    "reasoning": ([user("Why?"), assistant("It is so.", reasoning_content="Because A."), user("And?"),
                   assistant("Done.", reasoning_content="B now.")], False),
    "tools_only": ([user("Weather?"), assistant("I can look it up.")], True),
    "tool": ([system("Use tools."), user("Weather in Paris?"),
              assistant("", tool_calls=[call("get_weather", {"city": "Paris", "days": 2})]),
              tool("get_weather", "{\"temp\": 21.5}"), assistant("It is 21.5 degrees.")], True),
    "tool_null": ([user("Weather in Paris?"), assistant(None, tool_calls=[call("get_weather", {"city": "Paris"})]),
                   tool("get_weather", "sunny"), assistant("Sunny.")], True),
    "tool_text": ([user("Weather in Paris?"),
                   assistant("Let me look.", tool_calls=[call("get_weather", {"city": "Par\"is é", "days": 2})]),
                   tool("get_weather", "sunny"), assistant("Sunny."), user("Thanks"), assistant("Welcome.")], True),
    "tool_two": ([user("Add and weather"),
                  assistant("", tool_calls=[call("add", {"a": 1, "b": 2.0, "xs": ["p", "q"]}),
                                            call("get_weather", {"city": "Rom", "deep": {"x": [True, None]}}, 2)]),
                  tool("add", "3"), tool("get_weather", "rain", 2), assistant("3 and rain.")], True),
    "tool_string": ([user("Weather in Paris?"),
                     assistant("", tool_calls=[call("get_weather", "{\"city\": \"Paris\"}")]),
                     tool("get_weather", "sunny"), assistant("Sunny.")], True),
    "ends_with_call": ([user("Weather in Paris?"),
                        assistant("", tool_calls=[call("get_weather", {"city": "Paris"})])], True),
    "call_reasoning": ([user("Weather in Paris?"),
                        assistant("", reasoning_content="Look it up.",
                                  tool_calls=[call("get_weather", {"city": "Paris"})]),
                        tool("get_weather", "sunny"), assistant("Sunny.", reasoning_content="It says so."),
                        user("Thanks"), assistant("Welcome.", reasoning_content="Be kind.")], True),
    "call_null_reasoning": ([user("Weather in Paris?"),
                             assistant(None, reasoning_content="Look it up.",
                                       tool_calls=[call("get_weather", {"city": "Paris"})])], True),
    "two_rounds": ([system("Use tools."), user("Weather in Paris?"),
                    assistant(None, tool_calls=[call("get_weather", {"city": "Paris"})]),
                    tool("get_weather", "sunny"), assistant("Sunny."), user("And in Rome?"),
                    assistant(None, tool_calls=[call("get_weather", {"city": "Rome"}, 2)]),
                    tool("get_weather", "rain", 2), assistant("Rain.")], True),
    "system_think": ([system("Be brief."), user("Why?"), assistant("<think>\nBecause A.\n</think>\n\nIt is so."),
                      user("And?"), assistant("Done.")], False),
    "parts": ([system(parts("Be terse.")), user(parts("Hi")), assistant(parts("Hello!")), user(parts("Bye")),
               assistant(parts("See you."))], False),
    "ends_with_user": ([system("S"), user("a"), assistant("b"), user("c")], False),
}


class FrozenDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def gguf_path():
    return glob.glob(os.path.join(CACHE, "smollm2-*/**/*.gguf"), recursive=True)[0]


def smollm2_template():
    import gguf
    field = gguf.GGUFReader(gguf_path()).fields["tokenizer.chat_template"]
    return bytes(field.parts[field.data[0]]).decode()


def smollm2_tokenizer():
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    path = gguf_path()
    tokenizer = transformers.AutoTokenizer.from_pretrained(os.path.dirname(path), gguf_file=os.path.basename(path))
    # transformers drops it.
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True),
                                                          ByteLevel(add_prefix_space=False)])
    return tokenizer


def stored_mask(tokenizer, template, messages, with_tools):
    messages = [{k: v for k, v in message.items() if v is not None} for message in messages]
    out = tokenizer.apply_chat_template(
        messages, tools=TOOLS if with_tools else None, chat_template=template, tokenize=True, return_dict=True,
        return_assistant_tokens_mask=True, **SPECIAL_TOKENS)
    mask = "".join(map(str, out["assistant_masks"]))
    return [hashlib.sha256(mask.encode()).hexdigest()[:16], len(mask), mask.count("1")]


def stored(text, full):
    entry = [hashlib.sha256(text.encode()).hexdigest()[:16], len(text.encode())]
    return entry + [text] if full else entry


def byte_spans(text, spans):
    return [[len(text[:begin].encode()), len(text[:end].encode())] for begin, end in spans]


def render(template, messages, with_tools, prompt, **variables):
    """As PreTrainedTokenizerBase.apply_chat_template calls it: keys without a value are dropped first."""
    messages = [{k: v for k, v in message.items() if v is not None} for message in messages]
    texts, spans = chat_utils.render_jinja_template(
        [messages], tools=TOOLS if with_tools else None, chat_template=template, add_generation_prompt=prompt,
        return_assistant_tokens_mask="generation" in template, **{**SPECIAL_TOKENS, **variables})
    return texts[0], spans[0] if spans else []


def golden(template, messages, with_tools, tokenizer, full):
    """None where transformers refuses."""
    last = max(i for i, message in enumerate(messages) if message["role"] == "assistant")
    out = {}
    for key, args, variables in (("text", (messages, with_tools, False), {}),
                                 ("prompt", (messages[:last], with_tools, True), {}),
                                 ("quiet", (messages[:last], with_tools, True), {"enable_thinking": False})):
        try:
            text, spans = render(template, *args, **variables)
        except Exception as error:  # whatever a template runs into
            out[key] = [str(error)] if full else None
            continue
        if key == "quiet" and out["prompt"] and out["prompt"][0] == stored(text, full)[0]:
            continue  # the template does not ask
        out[key] = stored(text, full)
        if key == "text" and spans:
            out["generation"] = byte_spans(text, spans)
            out["mask"] = stored_mask(tokenizer, template, messages, with_tools)
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", help="write the texts too, to this file")
    full = parser.parse_args().full
    chat_utils.datetime = FrozenDatetime
    tokenizer = smollm2_tokenizer()
    templates = {"smollm2": smollm2_template()}
    with open(os.path.join(OUT, "smollm2.jinja"), "w") as file:
        file.write(templates["smollm2"])
    for path in sorted(glob.glob(os.path.join(CACHE, "trl-1.16.0/trl/chat_templates/*.jinja"))):
        with open(path, newline="") as file:
            templates[os.path.basename(path)[:-len(".jinja")]] = file.read()
    goldens = {
        "made_with": f"transformers {transformers.__version__}, trl 1.16.0",
        "special_tokens": SPECIAL_TOKENS,
        "time": NOW.isoformat() + "Z",
        "tools": TOOLS,
        "conversations": {name: {"messages": messages, "tools": tools}
                          for name, (messages, tools) in CONVERSATIONS.items()},
        "templates": {name: {conversation: golden(template, messages, tools, tokenizer, bool(full))
                             for conversation, (messages, tools) in CONVERSATIONS.items()}
                      for name, template in templates.items()},
    }
    with open(full or os.path.join(OUT, "goldens.json"), "w") as file:
        # One conversation a line.
        text = json.dumps(goldens, ensure_ascii=False, separators=(",", ":"))
        for mark in ('"templates":{', '}},"', '"conversations":{', '"tools":['):
            text = text.replace(mark, mark + "\n") if mark != '}},"' else text.replace(mark, '}},\n"')
        file.write(text + "\n")


if __name__ == "__main__":
    main()
