"""`python -m actionclip_jax`: the same as `actionclip`."""

import sys

from actionclip_jax import cli

if __name__ == "__main__":  # which workers that import this file again are not
    sys.exit(cli.main())
