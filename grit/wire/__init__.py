"""Protobuf <-> core: the public surface in the words of the machines.

`encode_*` makes protobuf, `decode_*` reads it; whatever arrives may be malformed, and is refused as BAD_REQUEST with the
path of the field. A `place` is such a path: "operations[2].insert.record".
"""
