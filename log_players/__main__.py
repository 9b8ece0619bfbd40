"""`python -m log_players` is `grit serve player REALM`; options follow."""

import sys

from grit.cli.main import run

sys.exit(run(["serve", "player", *sys.argv[1:]]))
