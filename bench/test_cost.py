"""What protection costs: timings by pytest-benchmark, gradient evaluations and memory."""

from photoguard_eval.bench.test_cost import *
