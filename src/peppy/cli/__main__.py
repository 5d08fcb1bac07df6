"""`python -m peppy.cli` is the program `peppy`."""

import sys

from peppy.cli.main import main

sys.exit(main())
