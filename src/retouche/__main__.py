"""`python -m retouche` is the `retouche` command."""

import sys

from retouche.apps.cli import main

if __name__ == "__main__":
    sys.exit(main())
