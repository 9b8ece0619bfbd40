"""`grit.yaml` -> what the composition roots build from; every mistake is named with file, line, column and remedy."""
