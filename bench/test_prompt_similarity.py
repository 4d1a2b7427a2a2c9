"""Figure 7: the diffusion attack makes the model ignore the prompt."""

from photoguard_eval.bench.test_prompt_similarity import *
