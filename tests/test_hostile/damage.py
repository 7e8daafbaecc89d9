"""Typical damage by disks, downloads, tools and users. Each function takes a ``random.Random`` and returns the damaged content."""

import copy
import json
import math
from random import Random
from typing import Any

ODD_VALUES = (
    None, True, -1, 0, 1.5, 1e30, math.nan, math.inf, '', 'abc', '7', [], {}, [None], {'a': 1}, 2**70, 'ü\u0000',
)  # fmt: skip
"""Values that may replace a value."""


def of_bytes(content: bytes, random: Random) -> bytes:
    """Truncate, overwrite, cut a hole into, shuffle or replace bytes."""
    data = bytearray(content)
    kind = random.choice(['cut', 'flip', 'zeros', 'noise', 'empty', 'text', 'doubled', 'swapped'])
    start = random.randrange(len(data))
    end = min(len(data), start + random.randint(1, 200))
    if kind == 'cut':
        return bytes(data[:start])
    if kind == 'flip':
        for _ in range(random.randint(1, 20)):
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    elif kind == 'zeros':
        data[start:end] = bytes(end - start)
    elif kind == 'noise':
        data[start:end] = random.randbytes(end - start)
    elif kind == 'empty':
        return b''
    elif kind == 'text':
        return random.choice([b'<html>Sign in</html>', b'{}', b'version https://git-lfs', b'\n'])
    elif kind == 'doubled':
        data[start:start] = data[start:end]
    else:
        half = len(data) // 2
        data = data[half:] + data[:half]
    return bytes(data)


def of_tree(content: Any, random: Random, depth: int = 6) -> Any:
    """Change one entry of JSON or a config: remove, duplicate or rename it, or give it an odd value or another type."""
    content = copy.deepcopy(content)
    node = content
    for _ in range(random.randint(1, depth)):
        children = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
        inner = [key for key, child in children if isinstance(child, (dict, list)) and child]
        if not inner or (random.random() < 0.2 and children):
            break
        node = node[random.choice(inner)]
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    if not keys:
        return content
    key = random.choice(keys)
    kind = random.choice(['gone', 'odd', 'odd', 'text', 'doubled', 'renamed'])
    if kind == 'gone':
        del node[key]
    elif kind == 'odd':
        node[key] = copy.deepcopy(random.choice(ODD_VALUES))
    elif kind == 'text':
        node[key] = str(node[key])
    elif isinstance(node, list):
        node.insert(random.randrange(len(node) + 1), copy.deepcopy(node[key]))
    else:
        node[f'{key}x' if kind == 'renamed' else key.upper()] = node.pop(key)
    return content


def of_json(content: Any, random: Random) -> bytes:
    """Return an annotation file with one to three errors, or with damaged bytes."""
    if random.random() < 0.15:
        return of_bytes(json.dumps(content).encode(), random)
    for _ in range(random.randint(1, 3)):
        content = of_tree(content, random)
    return json.dumps(content).encode()
