"""`grit check`: finds what the rest of GRIT did wrong.

Independent on purpose: nothing here imports the fold, the predicate evaluator, a machine or a player, so that
a mistake in them is not made twice. What a log means is worked out again from protocol.md.

    logs --copies--> histories (own reading of each log) --> agreement (W0-W3, W9), images (W4)
    database --------------------------- replay ----------> differences (W6)
    logs --> serial order --> tables in SQLite -----------> application rules
"""
