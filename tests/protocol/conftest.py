"""Makes `pump.py`, the network that tests play by hand, importable from the tests beside it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
