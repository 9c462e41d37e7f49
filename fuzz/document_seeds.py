#!/usr/bin/env python3
"""Writes the hex examples of docs/stdio-protocol.md as inputs of the target stdio_frames.

document_seeds.py DIRECTORY: one file for each example, alone and as part of all up to it.
"""

import pathlib
import re
import sys

document = pathlib.Path(__file__).parent.parent / "docs" / "stdio-protocol.md"
target = pathlib.Path(sys.argv[1])
target.mkdir(parents=True, exist_ok=True)

examples = re.findall(r"^example: [^\n]*\n```hex\n(.*?)```", document.read_text(), re.M | re.S)
frames = [bytes.fromhex("".join(line.split("#")[0] for line in text.splitlines())) for text in examples]
# The document is the whole point: without its examples there are no seeds.
assert len(frames) > 15, f"only {len(frames)} examples in {document}"

# The input is (prefaced, cut, bytes): one byte, eight bytes, the rest.
for number, frame in enumerate(frames):
    for name, prefaced, data in (
        ("one", 1, frame),
        ("until", 0, b"".join(frames[: number + 1])),
        # The first is the preface.
        ("from", 0, frames[0] + frame),
    ):
        seed = bytes([prefaced]) + (len(data) // 2).to_bytes(8, "little") + data
        (target / f"{name}-{number}").write_bytes(seed)
