"""What the stub LLM says: replies that satisfy the constraint, made from a hash of the request."""

import hashlib
import json
import math
import random
import re
import zlib
from typing import Any

JsonObject = dict[str, Any]
# What of a prompt's end a summary is made of: the time to reply does not depend on the prompt's length.
_READ_CHARACTERS = 4_000


def dice(body: JsonObject) -> random.Random:
    """Random numbers that depend on everything of the request but the model's name."""
    told = [str(turn["content"]) for turn in body["messages"]]
    rest = {name: value for name, value in body.items() if name not in ("model", "messages")}
    return random.Random(
        hashlib.sha256("\n".join([*told, json.dumps(rest, sort_keys=True)]).encode(errors="replace")).digest()
    )


def choices_of(body: JsonObject) -> list[str] | None:
    """Options of a constrained choice, or None."""
    return (body.get("structured_outputs") or {}).get("choice")


def schema_of(body: JsonObject) -> JsonObject | None:
    """JSON schema that the reply must follow, in either way of asking for it, or None."""
    if schema := (body.get("structured_outputs") or {}).get("json"):
        return json.loads(schema) if isinstance(schema, str) else schema
    wanted = body.get("response_format") or {}
    return wanted["json_schema"]["schema"] if wanted.get("type") == "json_schema" else None


def choice(options: list[str], chance: random.Random) -> tuple[str, JsonObject]:
    """The likeliest option, and logprobs as vLLM gives them: those of the first token, best first."""
    weights = {option: chance.random() + 1e-3 for option in options}
    total = sum(weights.values())
    ranked = sorted(options, key=lambda option: -weights[option])
    top = [{"token": o, "logprob": math.log(weights[o] / total), "bytes": None} for o in ranked]
    return ranked[0], {"content": [{**top[0], "top_logprobs": top}]}


def prompt_logprobs(prompt: str, wanted: int) -> JsonObject:
    """What vLLM adds to a completion for `prompt_logprobs` and `return_token_ids`.

    The tokens are pieces of four characters; how sure they are comes from their text and what stands before.
    """
    pieces = [prompt[at : at + 4] for at in range(0, len(prompt), 4)]
    told: list[JsonObject | None] = [None]
    before = pieces[0]
    for number, piece in enumerate(pieces[1:], 1):
        sure = (zlib.crc32((before + piece).encode()) % 997 + 1) / 1000
        others = {str(-n): _candidate(f"~{n}", (1 - sure) / 2**n) for n in range(1, wanted)}
        told.append({str(number): _candidate(piece, sure), **others})
        before = piece
    return {"prompt_token_ids": list(range(len(pieces))), "prompt_logprobs": told}


def _candidate(token: str, share: float) -> JsonObject:
    return {"logprob": math.log(share), "rank": 1, "decoded_token": token}


def instance(schema: JsonObject, chance: random.Random, root: JsonObject | None = None) -> Any:
    """A value that the schema accepts: objects, arrays, bounded numbers, strings, enums, $ref, anyOf."""
    root = root or schema
    if "$ref" in schema:
        return instance(root["$defs"][schema["$ref"].rsplit("/", 1)[-1]], chance, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return chance.choice(schema["enum"])
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return instance(chance.choice(options), chance, root)
    match schema.get("type"):
        case "object":
            return {n: instance(s, chance, root) for n, s in schema.get("properties", {}).items()}
        case "array":
            least = schema.get("minItems", 0)
            count = chance.randint(least, min(schema.get("maxItems", least + 2), least + 2))
            return [instance(schema["items"], chance, root) for _ in range(count)]
        case "integer" | "number":
            return chance.randint(schema.get("minimum", 0), schema.get("maximum", 10))
        case "boolean":
            return chance.random() < 0.5
        case "null":
            return None
        case _:
            return _sentence(chance, schema.get("minLength", 1))[: schema.get("maxLength")]


def summary(body: JsonObject, chance: random.Random) -> str:
    """A short text of words and numbers of the last message, of its last <tag>…</tag> where it has one."""
    last = body["messages"][-1]["content"][-_READ_CHARACTERS:]
    tagged = re.findall(r"<(\w+)>(.+?)</\1>", last, re.DOTALL)
    material = re.findall(r"[A-Za-z]{4,}|\d+(?:\.\d+)?", tagged[-1][1] if tagged else last)
    words = list(dict.fromkeys(material))
    kept = sorted(chance.sample(range(len(words)), min(len(words), 12 + chance.randrange(12))))
    return " ".join(words[i] for i in kept).capitalize() + "." if kept else "Nothing was found."


def from_regex(pattern: str, chance: random.Random) -> str:
    """A text that the pattern matches: literals, classes, groups, branches, bounded repeats."""
    return _walk(re._parser.parse(pattern), chance)  # type: ignore[attr-defined]


def spelled(pattern: str, chance: random.Random) -> tuple[str, JsonObject]:
    """A text that the pattern matches, and its logprobs: a token per character, digits against digits."""
    text = from_regex(pattern, chance)
    content = []
    for place, character in enumerate(text):
        before, after = text[:place], text[place + 1 :]
        others = set("0123456789") - {character} if character.isdigit() else set()
        fitting = sorted(o for o in others if re.fullmatch(pattern, before + o + after))
        likeliest, logprobs = choice([character, *fitting], chance)
        text = before + likeliest + after
        content += logprobs["content"]
    return text, {"content": content}


def _walk(parsed: Any, chance: random.Random) -> str:
    text = ""
    for operator, value in parsed:
        match str(operator):
            case "LITERAL":
                text += chr(value)
            case "IN":
                text += chance.choice([c for part in value for c in _characters(*part)])
            case "ANY":
                text += "a"
            case "SUBPATTERN":
                text += _walk(value[-1], chance)
            case "BRANCH":
                text += _walk(chance.choice(value[1]), chance)
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, inner = value
                times = chance.randint(least, min(int(most), least + 3))
                text += "".join(_walk(inner, chance) for _ in range(times))
            case "AT":
                pass
            case other:
                raise ValueError(f"the stub cannot follow a regex with {other}")
    return text


def _characters(operator: Any, value: Any) -> list[str]:
    match str(operator):
        case "LITERAL":
            return [chr(value)]
        case "RANGE":
            return [chr(code) for code in range(value[0], value[1] + 1)]
        case "CATEGORY" if str(value).endswith("DIGIT"):
            return list("0123456789")
        case "CATEGORY" if str(value).endswith("SPACE"):
            return [" "]
    return list("abcdefgh")


def _sentence(chance: random.Random, least: int) -> str:
    words = ["the", "value", "of", "x", "is", "missing", "from", "step", "two", "and", "result"]
    chance.shuffle(words)
    text = " ".join(words[: chance.randint(3, 8)])
    return text * (least // len(text) + 1) if len(text) < least else text
