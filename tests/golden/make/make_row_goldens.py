#!/usr/bin/env python3
"""Writes tests/golden/worker_data: rows with tools as JSON lines, the same rows as Parquet, and how transformers
renders them with published templates.

Run with transformers 5.23, jinja2 3.1 and pyarrow 26.0.1 (PYTHONPATH may name the folder that tools/setup unpacked
pyarrow into); templates are those of the trl 1.16.0 wheel:
    make_row_goldens.py ~/.cache/vernier/trl-1.16.0/trl/chat_templates
"""
import copy
import datetime
import gzip
import json
import pathlib
import sys

import pyarrow
import pyarrow.parquet
import transformers
from transformers.utils import chat_template_utils

TEMPLATES = ["qwen2_5", "qwen3", "llama3_1", "llama3_2", "glm4moe", "deepseekv3", "cohere2", "lfm2", "nemotron_3_nano",
             "qwen3_instruct_2507", "gptoss", "qwen3_5_think", "phi3"]
OUT = pathlib.Path(__file__).resolve().parent.parent / "worker_data"

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Name of the city"},
                "days": {"type": "integer", "description": "How many days ahead"},
            },
            "required": ["city"],
        },
    },
}
SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Searches \u201cnotes\u201d & files",
        "parameters": {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "What to look for"},
                "scope": {"type": "string", "enum": ["notes", "files"]},
            },
            "required": ["query"],
        },
    },
}


def call(name, arguments, content=None, **more):
    return {"role": "assistant", "content": content,
            "tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}], **more}


# Each row lacks fields that others have: a table has to invent nulls for all of them.
ROWS = [
    {"messages": [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": "Weather in Paris tomorrow?"},
        call("get_weather", {"city": "Paris", "days": 1}),
        {"role": "tool", "name": "get_weather", "content": "{\"sky\": \"clear\", \"max\": 21.5}"},
        {"role": "assistant", "content": "Clear, 21.5 degrees."}],
     "tools": [WEATHER]},
    {"messages": [
        {"role": "user", "content": "Where did I write about Zürich?"},
        call("search", {"query": "Zürich \"trip\"", "scope": "notes"}),
        {"role": "tool", "name": "search", "content": "1 note"},
        {"role": "assistant", "content": "In one note."},
        {"role": "user", "content": "And the weather there?"},
        call("get_weather", {"city": "Zürich"}),
        {"role": "tool", "name": "get_weather", "content": "rain"},
        {"role": "assistant", "content": "It rains."}],
     "tools": [WEATHER, SEARCH]},
    {"messages": [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello! How can I help?"}],
     "tools": [SEARCH]},
    {"messages": [
        {"role": "user", "content": "What is 2 + 2?"},
        {"role": "assistant", "content": "4", "reasoning_content": "Add the two numbers."}]},
]


def struct_types():
    text = pyarrow.string()
    schema = pyarrow.struct([("type", text), ("description", text), ("enum", pyarrow.list_(text))])
    prop = pyarrow.struct([(name, schema) for name in ("city", "days", "query", "scope")])
    tool = pyarrow.struct([("type", text), ("function", pyarrow.struct([
        ("name", text), ("description", text), ("parameters", pyarrow.struct([
            ("type", text), ("properties", prop), ("required", pyarrow.list_(text))]))]))])
    arguments = pyarrow.struct([("city", text), ("days", pyarrow.int64()), ("query", text), ("scope", text)])
    message = pyarrow.struct([("role", text), ("name", text), ("content", text), ("reasoning_content", text),
                              ("tool_calls", pyarrow.list_(pyarrow.struct([
                                  ("type", text), ("function", pyarrow.struct([("name", text), ("arguments", arguments)]))])))])
    return pyarrow.schema([("messages", pyarrow.list_(message)), ("tools", pyarrow.list_(tool))])


def with_json_text(rows):
    """tools, and the arguments of calls, as the text of JSON."""
    rows = copy.deepcopy(rows)
    for row in rows:
        if "tools" in row:
            row["tools"] = json.dumps(row["tools"], ensure_ascii=False)
        for message in row["messages"]:
            for tool_call in message.get("tool_calls", []):
                function = tool_call["function"]
                function["arguments"] = json.dumps(function["arguments"])
    return rows


# Templates disagree on what an OpenAI row is: some show arguments as they stand (and fail on objects), some cannot do
# without content. The first of these that a template takes is how the row is shown to it.
STYLES = [(False, False), (False, True), (True, False), (True, True)]


class FrozenDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime(2026, 1, 31, 12, 0, 0)


def styled(messages, as_text, empty):
    messages = copy.deepcopy(messages)
    for message in messages:
        if empty and message["content"] is None:
            message["content"] = ""
        for tool_call in message.get("tool_calls", []) if as_text else []:
            function = tool_call["function"]
            function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
    # As apply_chat_template does: keys without a value are dropped first.
    return [{k: v for k, v in message.items() if v is not None} for message in messages]


def write_odd_files():
    write = pyarrow.parquet.write_table
    text = ["one", "two", "three"]
    # A type a column; "text" makes the rows texts, the mapping of the test makes `id` any of them.
    columns = {
        "text": pyarrow.array(text),
        "large": pyarrow.array(text, pyarrow.large_string()),
        "binary": pyarrow.array([b"a", b"\xff", None]),
        "dictionary": pyarrow.array(text).dictionary_encode(),
        "int8": pyarrow.array([-1, 0, 127], pyarrow.int8()),
        "uint64": pyarrow.array([0, 2**64 - 1, None], pyarrow.uint64()),
        "float": pyarrow.array([0.1, 1.0, float("nan")], pyarrow.float32()),
        "double": pyarrow.array([1e300, -2.0, 0.30000000000000004]),
        "bool": pyarrow.array([True, False, None]),
        "date": pyarrow.array([0, 1, 2], pyarrow.date32()),
        "list": pyarrow.array([["a", None], [], None]),
        "map": pyarrow.array([[("k", 1), ("l", None)], [], None], pyarrow.map_(pyarrow.string(), pyarrow.int32())),
        "struct": pyarrow.array([{"a": 1, "b": None}, {"a": None, "b": "x"}, None],
                                pyarrow.struct([("a", pyarrow.int32()), ("b", pyarrow.string())])),
    }
    write(pyarrow.table(columns), OUT / "types.parquet")
    write(pyarrow.table({"question": text, "answer": ["1", "2", None], "note": ["x", "y", "z"]}), OUT / "pairs.parquet")

    write_deep("deep.parquet.gz", 1000)
    write_deep("deep_80.parquet", 80)
    wide = pyarrow.table({f"c{i}": pyarrow.array(["x"]) for i in range(1500)} | {"text": pyarrow.array(["x"])})
    (OUT / "wide.parquet.gz").write_bytes(gzip.compress(parquet_bytes(wide), mtime=0))
    same = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 3_000_000, pyarrow.int32()), ["a" * 100])
    bomb = parquet_bytes(pyarrow.table({"text": same}))
    (OUT / "bomb.parquet").write_bytes(bomb)


def parquet_bytes(table):
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def write_deep(name, depth):
    deep = pyarrow.string()
    for _ in range(depth):
        deep = pyarrow.struct([("x", deep)])
    # A schema without rows: no writer goes down so deep.
    schema = pyarrow.schema([("text", pyarrow.string()), ("id", deep)])
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_metadata(schema, sink)
    file = sink.getvalue().to_pybytes()
    (OUT / name).write_bytes(gzip.compress(file, mtime=0) if name.endswith(".gz") else file)


def main():
    folder = pathlib.Path(sys.argv[1])
    OUT.mkdir(parents=True, exist_ok=True)
    with open(OUT / "tools.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    with open(OUT / "tools_json_text.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in with_json_text(ROWS))
    table = pyarrow.Table.from_pylist(ROWS, schema=struct_types())
    pyarrow.parquet.write_table(table, OUT / "tools_structs.parquet", compression="zstd")
    table = pyarrow.Table.from_pylist(with_json_text(ROWS))
    pyarrow.parquet.write_table(table, OUT / "tools_json_text.parquet", compression="snappy", row_group_size=2)

    write_odd_files()

    chat_template_utils.datetime = FrozenDatetime
    rendered = {}
    for name in TEMPLATES:
        template = (folder / f"{name}.jinja").read_text(encoding="utf-8")
        rendered[name] = []
        for row in ROWS:
            for as_text, empty in STYLES:
                try:
                    texts, _ = chat_template_utils.render_jinja_template(
                        conversations=[styled(row["messages"], as_text, empty)], tools=copy.deepcopy(row.get("tools")),
                        chat_template=template, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>")
                except Exception as error:
                    print(f"{name}: row {len(rendered[name]) + 1}: text={as_text} empty={empty}: {error}")
                else:
                    rendered[name].append(texts[0])
                    break
            else:
                rendered[name].append(None)  # the template refuses the row: so must ours
    golden = {"versions": {"transformers": transformers.__version__, "pyarrow": pyarrow.__version__}, "rendered": rendered}
    with open(OUT / "rendered.json", "w", encoding="utf-8") as file:
        json.dump(golden, file, ensure_ascii=False, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
