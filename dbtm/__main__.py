"""`python -m dbtm` is `grit serve dbtm REALM`; options follow."""

import sys

from grit.cli.main import run

sys.exit(run(["serve", "dbtm", *sys.argv[1:]]))
