"""The profile `deep` of Hypothesis (`pytest tests/properties --hypothesis-profile deep`), and imports from the files beside this one."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

# A hundred examples is what Hypothesis begins with; every budget in these tests is a share of that, so here it is twenty times as large.
settings.register_profile("deep", max_examples=2000)
