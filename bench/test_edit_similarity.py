"""Tables 6 and 10: edits of immunized images are unlike the edits of the originals."""

from photoguard_eval.bench.test_edit_similarity import *
