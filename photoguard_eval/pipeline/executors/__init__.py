"""Where work runs: in this process, in processes of this machine, or on a cluster."""

import os

from photoguard_eval.pipeline.executors.base import EXECUTORS, Executor
from photoguard_eval.pipeline.executors.places import worker_environments
from photoguard_eval.pipeline.executors.processes import ProcessesExecutor
from photoguard_eval.pipeline.executors.ray import RayExecutor
from photoguard_eval.pipeline.executors.serial import SerialExecutor
from photoguard_eval.pipeline.request import EvaluationRequest
from photoguard_eval.pipeline.session import Session

__all__ = [
    "EXECUTORS",
    "Executor",
    "ProcessesExecutor",
    "RayExecutor",
    "SerialExecutor",
    "default_executor",
    "make_executor",
]


def default_executor(request: EvaluationRequest) -> str:
    """Return the executor of a request that names none: processes where there are several workers to be.

    Args:
        request: Says how many workers, and on what device.
    """
    return ProcessesExecutor.name if len(worker_environments(request, os.environ)) > 1 else SerialExecutor.name


def make_executor(session: Session, request: EvaluationRequest) -> Executor:
    """Return the executor that a request asks for.

    Args:
        session: What whoever computes must know.
        request: Names it.

    Raises:
        UnknownNameError: If there is none of that name.
        ConfigurationError: If it is not installed.
    """
    return EXECUTORS.find(request.executor or default_executor(request))(session, request)
