"""`python -m lorae`, the same as the command `lorae`."""

import sys

from lorae.cli import main

sys.exit(main())
