"""`python -m gtm` is `grit serve gtm`; options follow."""

import sys

from grit.cli.main import run

sys.exit(run(["serve", "gtm", *sys.argv[1:]]))
