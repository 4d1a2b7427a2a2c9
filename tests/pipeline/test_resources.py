"""What an actor asks a cluster for, and what is said where the cluster can never hold it."""

import pytest

from photoguard_eval.errors import ConfigurationError
from photoguard_eval.pipeline.executors.resources import (
    GIBIBYTE,
    ActorResources,
    Footprint,
    Node,
    memory_for_images,
    resources_of_actor,
)


def needing(process=1.0, image=0.5, most=4, fewest=4, others=0.0):
    """A footprint in GiB."""
    return Footprint(process * GIBIBYTE, others * GIBIBYTE, image * GIBIBYTE, most, fewest)


def node(processors=4, memory=8.0, gpus=0, gpu_memory=0.0):
    return Node(processors, memory * GIBIBYTE, gpus, gpu_memory * GIBIBYTE)


def on_processor(footprint, workers, *nodes, threads=1):
    return resources_of_actor(footprint, workers, nodes, threads=threads, on_gpu=False)


def on_gpu(footprint, workers, *nodes, threads=1):
    return resources_of_actor(footprint, workers, nodes, threads=threads, on_gpu=True)


def test_an_actor_asks_for_its_threads_and_for_the_memory_of_all_that_it_runs():
    asked = on_processor(needing(), 2, node(), threads=2)
    assert asked.options == {"num_cpus": 2, "memory": 3 * GIBIBYTE}
    assert on_processor(needing(others=1), 2, node()).options == {"num_cpus": 1, "memory": 4 * GIBIBYTE}


def test_where_memory_is_scarce_fewer_images_run_at_once_if_their_number_is_free():
    free = needing(fewest=1)
    assert on_processor(free, 2, node(memory=6)).images == 4
    assert on_processor(free, 2, node(memory=5)).images == 3
    assert on_processor(free, 2, node(memory=4), node(memory=2)).images == 2, "one on each node, or two on the first"
    with pytest.raises(ConfigurationError, match="the cluster holds 1 of the 2 workers"):
        on_processor(needing(fewest=4), 2, node(memory=5))


def test_nodes_hold_actors_by_what_is_scarcest():
    actor = ActorResources(2, memory=3 * GIBIBYTE)
    assert node(processors=8, memory=7).holds(actor) == 2
    assert node(processors=3, memory=7).holds(actor) == 1
    assert node(processors=8, memory=2).holds(actor) == 0
    assert node(gpus=2).holds(ActorResources(1, gpus=0.3333)) == 4, "its processors"
    assert node(processors=16, gpus=2).holds(ActorResources(1, gpus=0.3333)) == 6


@pytest.mark.parametrize(
    ("workers", "threads", "nodes", "said"),
    [
        (
            1,
            1,
            (node(memory=2), node(memory=1)),
            "needs 1 processor and 3.0 GiB of memory, and the cluster does not hold one: the largest of its nodes has "
            "4 processors and 2.0 GiB of memory. Ask for another dtype (--dtype) or smaller batches (--batch-size), or "
            "add a node.",
        ),
        (
            1,
            16,
            (node(memory=64), node(8)),
            "needs 16 processors and 3.0 GiB of memory, and the cluster does not hold one: the largest of its nodes "
            "has 8 processors and 8.0 GiB of memory. Ask for fewer threads (--threads), or add a node.",
        ),
        (
            3,
            2,
            (node(memory=7),),
            "needs 2 processors and 3.0 GiB of memory, and the cluster holds 2 of the 3 workers that were asked for: "
            "the largest of its nodes has 4 processors and 7.0 GiB of memory. Ask for fewer workers (--workers 2), "
            "fewer threads (--threads), another dtype (--dtype) or smaller batches (--batch-size), or add a node.",
        ),
        (1, 1, (), "the cluster does not hold one: the largest of its nodes has 0 processors"),
    ],
)
def test_what_a_cluster_can_never_hold_is_said_with_what_to_do(workers, threads, nodes, said):
    with pytest.raises(ConfigurationError) as raised:
        on_processor(needing(), workers, *nodes, threads=threads)
    assert said in str(raised.value)


def test_each_actor_has_its_gpu():
    assert on_gpu(needing(), 2, node(gpus=1), node(gpus=1)).options == {"num_cpus": 1, "num_gpus": 1}
    assert on_gpu(needing(), 1, node(gpus=4)).gpus == 1, "a GPU that holds several is not shared unasked"
    with pytest.raises(
        ConfigurationError, match=r"needs 1 processor and 1 GPU, .* has 4 processors and 0 GPUs. Add a "
    ):
        on_gpu(needing(), 1, node())
    with pytest.raises(ConfigurationError, match=r"needs 8 processors and 1 GPU, .*Ask for fewer threads"):
        on_gpu(needing(), 1, node(gpus=1), threads=8)


def test_more_actors_than_gpus_share_them_if_their_memory_holds_them():
    free = needing(process=3, image=1, fewest=1)
    assert on_gpu(free, 2, node(gpus=1, gpu_memory=8)).options == {"num_cpus": 1, "num_gpus": 0.5}
    assert on_gpu(free, 3, node(gpus=1, gpu_memory=8), node(gpus=1, gpu_memory=9)).gpus == 0.5
    assert on_gpu(free, 3, node(gpus=1, gpu_memory=12)).gpus * 3 <= 1
    with pytest.raises(ConfigurationError) as raised:
        on_gpu(free, 3, node(gpus=1, gpu_memory=12), node(gpus=1, gpu_memory=7))
    assert "the cluster has 2 GPUs" in str(raised.value)
    assert "7.0 GiB of free memory does not hold 2 actors that need 4.0 GiB each" in str(raised.value)
    assert "fewer workers (--workers 2)" in str(raised.value)


def test_an_actor_is_told_what_memory_its_images_have():
    fixed, free = needing(), needing(process=3, image=1, fewest=1)
    assert memory_for_images(fixed, on_processor(fixed, 1, node()), None) is None
    usable = memory_for_images(free, on_processor(free, 1, node(memory=5)), None)
    assert usable // GIBIBYTE == 2
    whole, half = (on_gpu(free, workers, node(gpus=1, gpu_memory=20)) for workers in (1, 2))
    left = 17 * GIBIBYTE
    assert memory_for_images(free, whole, left) == left
    assert memory_for_images(free, half, left) == 7 * GIBIBYTE, "another model will lie beside this one"
