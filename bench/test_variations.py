"""Section 4.1 and Appendix C.2: image variations guided by a prompt."""

from photoguard_eval.bench.test_variations import *
