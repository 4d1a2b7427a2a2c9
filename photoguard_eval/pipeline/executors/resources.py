"""What an actor asks a cluster for, so that no machine is given more actors than it holds: arithmetic alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from photoguard_eval.errors import ConfigurationError

GIBIBYTE = 2**30

SHARES = 10_000
"""Of a GPU, the finest that Ray counts: what is finer is rounded, and three thirds could be more than one."""


@dataclass(frozen=True)
class Footprint:
    """What memory whoever computes takes: of a processor, or of a GPU where it works on one. Bytes.

    Attributes:
        process: Of its process and the model's weights, whatever it works on.
        others: Of the process of an attack of others beside it; 0 if there is no such attack.
        image: For each image that it works on at once, at the largest step.
        most: How many images it works on at once if there is memory.
        fewest: How many at least; as many as `most` if the number is fixed.
    """

    process: float
    others: float
    image: float
    most: int
    fewest: int

    def memory(self, images: int) -> int:
        """Return what it takes with so many images at once."""
        return math.ceil(self.process + self.others + images * self.image)


@dataclass(frozen=True)
class Node:
    """What a machine of a cluster offers.

    Attributes:
        processors: Its processors.
        memory: Bytes of its memory, as far as the cluster gives them away.
        gpus: Its GPUs.
        gpu_memory: Bytes that are free on one of them; 0 if nobody asked.
    """

    processors: float
    memory: float
    gpus: float = 0.0
    gpu_memory: float = 0.0

    def holds(self, actor: ActorResources) -> int:
        """Return how many equal actors it holds."""
        pairs = (
            (self.processors, actor.processors),
            (self.memory, actor.memory),
            # Ray leaves what remains of a GPU that is shared; parts of several are none.
            (math.floor(self.gpus) * _sharing(actor.gpus), bool(actor.gpus)),
        )
        return min(math.floor(offered / asked) for offered, asked in pairs if asked)


@dataclass(frozen=True)
class ActorResources:
    """What an actor asks for.

    Attributes:
        processors: As many as its threads.
        memory: Bytes of the machine's memory; 0 if it asks for none.
        gpus: One GPU, or a share of one; 0 on a processor.
        images: How many images at once the memory holds.
    """

    processors: int
    memory: int = 0
    gpus: float = 0.0
    images: int = 0

    @property
    def options(self) -> dict[str, float]:
        """What it asks for, as Ray calls it."""
        asked = {"num_cpus": self.processors, "memory": self.memory, "num_gpus": self.gpus}
        return {name: amount for name, amount in asked.items() if amount}


def resources_of_actor(
    footprint: Footprint, workers: int, nodes: Sequence[Node], *, threads: int, on_gpu: bool
) -> ActorResources:
    """Choose what each of several equal actors asks for: as much memory as they all can have, up to what they need.

    Args:
        footprint: What memory an actor takes.
        workers: How many actors there are to be.
        nodes: Of the cluster; those with GPUs say what these hold if `share_gpus` does.
        threads: Of an actor.
        on_gpu: Whether the actors work on GPUs. Each has its own, unless there are more actors.

    Raises:
        ConfigurationError: If the cluster does not hold so many actors, however long they wait.
    """
    if on_gpu:
        sharing = math.ceil(workers / gpus_of(nodes)) if share_gpus(workers, nodes) else 1
        actors = [ActorResources(threads, gpus=_share_of(sharing))]
        least = min((node.gpu_memory for node in nodes if node.gpus >= 1), default=0.0)
        if sharing > 1 and sharing * footprint.memory(footprint.fewest) > least:
            raise ConfigurationError(
                f"{workers} workers were asked for, and the cluster has {gpus_of(nodes)} GPUs. A GPU of "
                f"{_gib(least)} of free memory does not hold {sharing} actors that need "
                f"{_gib(footprint.memory(footprint.fewest))} each. Ask for fewer workers (--workers "
                f"{gpus_of(nodes)}) or another dtype (--dtype)."
            )
    else:
        fewer = range(footprint.most, footprint.fewest - 1, -1)
        actors = [ActorResources(threads, footprint.memory(images), images=images) for images in fewer]
    for actor in actors:
        if _held(actor, nodes) >= workers:
            return actor
    raise _refusal(actors[-1], workers, nodes)


def gpus_of(nodes: Sequence[Node]) -> int:
    """Return how many GPUs a cluster has."""
    return sum(math.floor(node.gpus) for node in nodes)


def share_gpus(workers: int, nodes: Sequence[Node]) -> bool:
    """Tell whether there are more actors than GPUs, so that several share one."""
    return 0 < gpus_of(nodes) < workers


def memory_for_images(footprint: Footprint, actor: ActorResources, free: int | None) -> int | None:
    """Return the bytes that an actor has for the images that it works on; None if their number is fixed.

    Args:
        footprint: What memory it takes.
        actor: What it asked for.
        free: Bytes that it found free on its GPU once the model was loaded; None on a processor.
    """
    if free is not None:
        if actor.gpus == 1:
            return free
        # It has loaded its model already; the others on its GPU have not.
        return max(0, int((free + footprint.process) * actor.gpus - footprint.process - footprint.others))
    # A byte more, so that division by what an image takes does not lose the last one.
    return int(actor.images * footprint.image) + 1 if footprint.fewest < footprint.most else None


def _share_of(sharing: int) -> float:
    return math.floor(SHARES / sharing) / SHARES


def _sharing(share: float) -> int:
    return math.floor(1 / share) if share else 0


def _held(actor: ActorResources, nodes: Sequence[Node]) -> int:
    return sum(node.holds(actor) for node in nodes)


def _refusal(actor: ActorResources, workers: int, nodes: Sequence[Node]) -> ConfigurationError:
    """Say what an actor needs, what the largest node offers, and what to do about what lacks."""
    alone = {
        "processors": ActorResources(actor.processors),
        "memory": ActorResources(0, actor.memory),
        "gpus": ActorResources(0, gpus=actor.gpus),
    }
    lacks = {name for name, part in alone.items() if getattr(actor, name) and _held(part, nodes) < workers}
    held = _held(actor, nodes)
    kind = next((name for name in ("gpus", "memory", "processors") if name in lacks), "processors")
    largest = max(nodes, key=lambda node: (getattr(node, kind), node.processors), default=Node(0, 0))
    advice = [f"fewer workers (--workers {held})"] if held else []
    if "processors" in lacks and actor.processors > 1:
        advice.append("fewer threads (--threads)")
    if "memory" in lacks:
        advice.append("another dtype (--dtype)")
        advice += ["smaller batches (--batch-size)"] if actor.images > 1 else []
    enough = f"holds {held} of the {workers} workers that were asked for" if held else "does not hold one"
    return ConfigurationError(
        f"An actor of Ray needs {_amounts(actor, actor)}, and the cluster {enough}: the largest of its nodes has "
        f"{_amounts(largest, actor)}. " + (f"Ask for {_joined(advice)}, or add" if advice else "Add") + " a node."
    )


def _amounts(amounts: Node | ActorResources, asked: ActorResources) -> str:
    texts = [_counted(amounts.processors, "processor")]
    texts += [f"{_gib(amounts.memory)} of memory"] if asked.memory else []
    texts += [_counted(amounts.gpus, "GPU")] if asked.gpus else []
    return " and ".join(texts)


def _counted(amount: float, what: str) -> str:
    return f"{amount:g} {what}" if amount == 1 else f"{amount:g} {what}s"


def _joined(texts: Sequence[str]) -> str:
    return ", ".join(texts[:-1]) + (" or " if len(texts) > 1 else "") + texts[-1]


def _gib(count: float) -> str:
    return f"{count / GIBIBYTE:.1f} GiB"
