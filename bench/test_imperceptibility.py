"""The budget: what is saved differs from the original by no more than the threat model allows."""

from photoguard_eval.bench.test_imperceptibility import *
