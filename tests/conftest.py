"""What every test folder shares."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1]))  # a process that is spawned looks for a test's function as `tests...`
