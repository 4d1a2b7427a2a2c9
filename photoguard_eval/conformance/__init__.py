"""What an author can run on a plug-in in one line: whether it keeps the contract of its kind.

    >>> from photoguard_eval import check_purifier
    >>> from photoguard_eval.purifiers import BlurPurifier
    >>> check_purifier(BlurPurifier, size=3)

A check returns nothing, or raises one error that says what is wrong and what to do. It takes a class with arguments for
its constructor, an instance, or a spec such as "blur,size=3", and works on two small images.
"""

from __future__ import annotations

from photoguard_eval.conformance.attacks import check_attack
from photoguard_eval.conformance.editors import check_editor
from photoguard_eval.conformance.metrics import check_metric
from photoguard_eval.conformance.purifiers import check_purifier

__all__ = ["check_attack", "check_editor", "check_metric", "check_purifier"]
