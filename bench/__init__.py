"""What GRIT reaches on this machine, beside what it should reach and what the machine gives anybody.

`python -m bench` runs the benchmarks; each is a module with `run(settings) -> list[Figure]`. Results go to
`bench/results`, as JSON and as one page.
"""
