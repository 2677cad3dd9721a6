#!/usr/bin/env python3
"""Writes vectors.tsv: llama.cpp's own plans of memory, for src/estimate/vectors_test.cpp.

usage: make_vectors.py DATA > vectors.tsv

DATA holds memory-vectors.json and gguf-headers/ (the measured set described in docs). Lines, fields split by tabs:

model  name arch layers d ff experts_used expert_ff heads kv_heads key value kv_lora mla_key mla_value rope vocab
       window conv,inner,state,groups kinds input output_device output_host layer_runs
       kinds: one letter a layer: f full attention, s sliding window, r recurrent, b recurrent and attention
       layer_runs: count:host:device:largest_tensor, comma separated
row    model context sequences unified batch ubatch flash kv_type swa_full pipeline outputs slots host devices kv_offload
       outputs: rows of logits, "all" for every row of a batch; slots: per device, comma separated, "-" for the CPU
       host, devices: weights:kv:compute, devices comma separated
"""
import json
import struct
import sys
from pathlib import Path

# elements and bytes of one block, by ggml type number
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
          11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 20: (32, 18), 30: (1, 2), 39: (32, 17)}
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}


def tensors(path):
    """(name, bytes) of every tensor that a GGUF header lists."""
    data, at = path.read_bytes(), 0

    def number(kind):
        nonlocal at
        value = struct.unpack_from("<" + kind, data, at)[0]
        at += struct.calcsize("<" + kind)
        return value

    def text():
        nonlocal at
        size = number("Q")
        at += size
        return data[at - size:at].decode()

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            inner = number("I")
            return [value(inner) for _ in range(number("Q"))]
        return number(SCALARS[kind])

    number("I"), number("I")
    tensor_count, key_count = number("Q"), number("Q")
    for _ in range(key_count):
        text()
        value(number("I"))
    out = []
    for _ in range(tensor_count):
        name, elements = text(), 1
        for _ in range(number("I")):
            elements *= number("Q")
        block, size = BLOCKS[number("I")]
        number("Q")
        out.append((name, elements // block * size))
    return out


def kinds_of(model):
    letters = model["swa_pattern"] or "f" * model["block_count"]
    if model["arch"] == "mamba":
        return "r" * model["block_count"]
    if model["arch"] == "falcon-h1":
        return "b" * model["block_count"]
    if model["arch"] == "qwen3next":
        return "".join("f" if i % 4 == 3 else "r" for i in range(model["block_count"]))
    return letters


def weights_of(model, data):
    """(bytes of the output layer on the host, largest tensor by layer)"""
    path = data / model["gguf"]
    layers = range(model["block_count"])
    if not path.exists():  # tied models of a package: the norm; the dense tensors all have Q4_1 or are small
        dense = model["embedding_length"] * model["feed_forward_length"]
        return 4 * model["embedding_length"], [dense * 20 // 32 for _ in layers]
    listed = tensors(path)
    output = sum(size for name, size in listed if name.startswith("output"))
    return output, [max(size for name, size in listed if name.startswith(f"blk.{i}.")) for i in layers]


def runs(rows):
    out = []
    for row in rows:
        if out and out[-1][1] == row:
            out[-1][0] += 1
        else:
            out.append([1, row])
    return ",".join(":".join(map(str, (count, *row))) for count, row in out)


def model_line(name, model, data):
    sizes = model["bytes"]
    device = sizes["layer_host"] if isinstance(sizes["layer_dev"], str) else sizes["layer_dev"]
    output, largest = weights_of(model, data)
    ssm = model["ssm"] or {"conv": 0, "inner": 0, "state": 0, "groups": 0}
    keys = ["arch", "block_count", "embedding_length", "feed_forward_length", "expert_used_count",
            "expert_feed_forward_length", "head_count", "head_count_kv", "key_length", "value_length", "kv_lora_rank",
            "key_length_mla", "value_length_mla", "rope_dimension_count", "vocab", "sliding_window"]
    state = ",".join(str(ssm[key]) for key in ("conv", "inner", "state", "groups"))
    fields = [name, *(model[key] or 0 for key in keys), state, kinds_of(model), sizes["input_host"],
              sizes["output_dev"], output, runs(zip(sizes["layer_host"], device, largest))]
    return "\t".join(["model", *map(str, fields)])


def slots_of(settings, layers):
    """Slots per device as llama.cpp deals them (-ngl, --tensor-split; equal devices by default)."""
    count = settings["devices"]
    wanted = settings["n_gpu_layers"]
    total = layers + 1 if wanted < 0 else min(wanted, layers + 1)
    if count == 0 or total == 0:
        return "-"
    shares = settings["tensor_split"] or [1] * count
    ends = [sum(shares[:k + 1]) / sum(shares) for k in range(count)]
    dealt = [0] * count
    for i in range(total):
        dealt[next((k for k, end in enumerate(ends) if i / total < end), count - 1)] += 1
    return ",".join(map(str, dealt))


def row_line(vector, model):
    s, actual = vector["settings"], vector["actual"]
    assert s["cache_type_k"] == s["cache_type_v"]
    every = s["embeddings"] or s["n_outputs_max"] is None

    def parts(where):
        return ":".join(str(where[key]) for key in ("model", "context", "compute"))

    fields = [vector["model"], s["ctx"], s["n_parallel"], int(s["kv_unified"]), s["n_batch"], s["n_ubatch"],
              int(s["flash_attn"]), s["cache_type_k"], int(s["swa_full"]), int(s["pipeline_capable"]),
              "all" if every else s["n_outputs_max"], slots_of(s, model["block_count"]), parts(actual["host"]),
              ",".join(map(parts, actual["devices"])) or "-", int(s["offload_kqv"])]
    return "\t".join(["row", *map(str, fields)])


def main():
    data = Path(sys.argv[1])
    measured = json.loads((data / "memory-vectors.json").read_text())
    models = measured["models"]
    print(f"# {measured['source']}")
    for name, model in models.items():
        print(model_line(name, model, data))
    for vector in measured["vectors"]:
        print(row_line(vector, models[vector["model"]]))


main()
