"""Damage as disks, editors and strangers do it: to bytes, to JSON values, to lines."""

from __future__ import annotations

import json
from copy import deepcopy
from random import Random
from typing import Any

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -0.5, 0.5, 1e308, 5e-324, "", "x", "0",
    "\u2028", "\x00", "\ud800", "a" * 400, "=1+1", "../up", "[/x]", "$x$", [], {}, [[]], [None],
    ["x"], [0.5, None], {"": 0}, {"a": {"a": {}}}, [1, [2, [3, [4]]]],
]  # fmt: skip
BYTES = [b"", b"\x00", b"\xff", b"\xef\xbb\xbf", b"[", b"{", b"]", b"}", b",", b":", b'"', b"\n",
         b"1e999", b"NaN", b"-", b"9" * 5000, b"[" * 5000, b"\\u0000", b"\\ud800", b"&a ", b"*a ",
         b"<<: ", b"!function ", b"- ", b"? ", b"\t", b"true", b"null", b"\xc2\x85"]  # fmt: skip


def damaged(content: bytes, random: Random) -> bytes:
    """Some bytes cut, doubled, replaced or put in."""
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        place = random.randrange(len(content) + 1)
        end = min(len(content), place + random.choice((0, 1, 1, 4, 40)))
        if random.random() < 0.1:
            content = content[:place]
        elif random.random() < 0.2:
            content = content[:end] + content[place:]
        else:
            put = random.choice(BYTES) if random.random() < 0.8 else random.randbytes(3)
            content = content[:place] + put + content[end:]
    return content


def altered(value: Any, random: Random) -> Any:
    """The same value with one part replaced, removed, renamed or doubled."""
    value = json.loads(json.dumps(value))
    for _ in range(random.choice((1, 1, 2))):
        holders = [part for part in _parts(value) if isinstance(part, dict | list) and part]
        if not holders:
            return deepcopy(random.choice(ODD))
        holder = random.choice(holders)
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        key, how = random.choice(list(keys)), random.random()
        if how < 0.15:
            del holder[key]
        elif how < 0.25 and isinstance(holder, dict):
            holder[random.choice(("surprise", "", "a" * 300, str(key).upper()))] = deepcopy(
                holder[key]
            )
        elif how < 0.35 and isinstance(holder, list):
            holder.append(deepcopy(holder[key]))
        else:
            holder[key] = deepcopy(random.choice(ODD))
    return value


def _parts(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value, *(part for each in inner for part in _parts(each))]
