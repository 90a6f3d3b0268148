# SPDX-License-Identifier: Apache-2.0
"""Validation as zod does it, which the GitHub action trusts: what a schema names must be there."""

import re


class Invalid(Exception):
    pass


def _kind(wanted, is_it):
    def parse(value, path=()):
        if not is_it(value):
            raise Invalid(f"{'.'.join(map(str, path))}: expected {wanted}, received {value!r}")
        return value
    return parse


string = _kind("string", lambda v: isinstance(v, str))
number = _kind("number", lambda v: isinstance(v, (int, float)) and not isinstance(v, bool))
boolean = _kind("boolean", lambda v: isinstance(v, bool))
uuid = _kind("uuid", lambda v: isinstance(v, str) and re.fullmatch(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}", v))
email = _kind("email", lambda v: isinstance(v, str) and re.fullmatch(
    r"[A-Za-z0-9_'+\-.]*[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}", v))


def enum(*values):
    return _kind(" | ".join(values), lambda v: v in values)


def nullable(inner):
    return lambda value, path=(): None if value is None else inner(value, path)


class optional:
    """Only within an object: the key may be absent, but not null."""

    def __init__(self, inner):
        self.inner = inner


def array(inner):
    def parse(value, path=()):
        if not isinstance(value, list):
            raise Invalid(f"{'.'.join(map(str, path))}: expected array, received {value!r}")
        return [inner(item, (*path, i)) for i, item in enumerate(value)]
    return parse


def object(**fields):
    """Unknown keys are stripped."""
    def parse(value, path=()):
        if not isinstance(value, dict):
            raise Invalid(f"{'.'.join(map(str, path))}: expected object, received {value!r}")
        out = {}
        for key, inner in fields.items():
            is_optional = isinstance(inner, optional)
            if key not in value:
                if is_optional:
                    continue
                raise Invalid(f"{'.'.join(map(str, (*path, key)))}: Required")
            out[key] = (inner.inner if is_optional else inner)(value[key], (*path, key))
        return out
    return parse
