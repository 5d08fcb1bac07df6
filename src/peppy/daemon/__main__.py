"""`python -m peppy.daemon`: the program that `peppy service serve` becomes."""

import sys

from peppy.daemon.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
