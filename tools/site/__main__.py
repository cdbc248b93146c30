"""`python -m tools.site FOLDER` writes the pages of the site, from which `make docs` builds it."""

import sys
from pathlib import Path

from tools.site.build import prepare

if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
