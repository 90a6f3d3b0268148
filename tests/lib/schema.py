# SPDX-License-Identifier: Apache-2.0
"""As much of JSON Schema as our OpenAPI documents use: what in an answer is not as it is described."""

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
         "null": type(None)}


def _is(value, name):
    if name in ("integer", "number") and isinstance(value, bool):
        return False
    return isinstance(value, TYPES[name])


def wrong(document, schema, value, where="$"):
    """Sentences; none: it is as described."""
    if "$ref" in schema:
        return wrong(document, document["components"]["schemas"][schema["$ref"].split("/")[-1]], value, where)
    if "oneOf" in schema:
        tries = [wrong(document, one, value, where) for one in schema["oneOf"]]
        return [] if [] in tries else min(tries, key=len)
    found = []
    types = schema.get("type")
    if types is not None and not any(_is(value, t) for t in ([types] if isinstance(types, str) else types)):
        return [f"{where}: {value!r:.60} is no {types}"]
    if "enum" in schema and value is not None and value not in schema["enum"]:
        found.append(f"{where}: {value!r} is none of {schema['enum']}")
    if isinstance(value, dict):
        found += [f"{where}: lacks {name}" for name in schema.get("required", []) if name not in value]
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                found += wrong(document, inner, value[name], f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value[:20]):
            found += wrong(document, schema["items"], item, f"{where}[{i}]")
    return found
