"""A cluster of Ray: where actors are placed, what a cluster refuses, and what travels to its machines."""

import shutil
from contextlib import closing

import pytest

from photoguard_eval.errors import ConfigurationError
from photoguard_eval.pipeline.evaluation import Evaluation
from photoguard_eval.pipeline.executors import RayExecutor
from photoguard_eval.pipeline.executors.resources import GIBIBYTE, Footprint
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.store import Store
from tests.pipeline.test_execution import pictures

QUIET = Progress(quiet=True)
MODULE = "mine:Mine,extra={0}/data/extra.txt"

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(monkeypatch):
    """Return a function that starts a cluster of machines, each a process here, and returns its address."""
    utilities = pytest.importorskip("ray.cluster_utils")
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")
    started = []

    def start(*nodes):
        head, *others = ({"include_dashboard": False, **node} for node in nodes)
        started.append(utilities.Cluster(initialize_head=True, head_node_args=head))
        for node in others:
            started[0].add_node(**node)
        started[0].wait_for_nodes()
        return started[0].address

    yield start
    for each in started:
        each.shutdown()


def node(processors, memory, gpus=0):
    return {"num_cpus": processors, "memory": int(memory * GIBIBYTE), "num_gpus": gpus}


def taking(gibibytes, image=0.0, most=1):
    """What actors take that need so much."""
    return lambda: Footprint(gibibytes * GIBIBYTE, 0, image * GIBIBYTE, most, 1)


def places(executor):
    """Start all actors, and return the machine of each."""
    asked = [executor._actor(index).__ray_call__.remote(_machine) for index in range(executor.slots)]
    return executor._ray.get(asked, timeout=120)


def _machine(_actor):
    import ray

    return ray.get_runtime_context().get_node_id()


def test_actors_share_a_machine_only_if_its_memory_holds_both(make_request, cluster):
    address = cluster(node(8, 3), node(8, 3))
    plan = build_plan(make_request(executor="ray", address=address, workers=2, threads=1))
    with RayExecutor(plan.session, plan.request) as executor:
        executor.reserve(taking(2))
        first, second = places(executor)
        assert first != second


def test_actors_share_a_machine_whose_memory_holds_both(make_request, cluster):
    address = cluster(node(8, 3), node(8, 1))
    plan = build_plan(make_request(executor="ray", address=address, workers=2, threads=1))
    with RayExecutor(plan.session, plan.request) as executor:
        executor.reserve(taking(1.5))
        assert executor._resources.options == {"num_cpus": 1, "memory": 1.5 * GIBIBYTE}
        first, second = places(executor)
        assert first == second


def test_an_actor_is_placed_where_its_memory_is(make_request, cluster):
    address = cluster(node(8, 1), node(1, 4))
    plan = build_plan(make_request(executor="ray", address=address, threads=1))
    with RayExecutor(plan.session, plan.request) as executor:
        executor.reserve(taking(1, image=0.5, most=12))
        assert executor._resources.images == 6
        (large,) = (each["NodeID"] for each in executor._ray.nodes() if each["Resources"]["CPU"] == 1)
        assert places(executor) == [large]


def test_what_a_cluster_can_never_hold_is_said_before_an_actor_starts(make_request, tmp_path, cluster):
    address = cluster(node(2, 0.5))
    for changes, said in [
        ({}, r"needs 1 processor and 1\.\d GiB of memory, and the cluster does not hold one: the largest of its nodes"),
        ({"threads": 3}, r"needs 3 processors and .* has 2 processors and 0\.5 GiB.* fewer threads \(--threads\)"),
    ]:
        request = make_request(**{"executor": "ray", "address": address, "threads": 1, "batch_size": 1, **changes})
        plan = build_plan(request)
        with (
            closing(Evaluation(plan, Store(tmp_path / "store"), QUIET)) as evaluation,
            pytest.raises(ConfigurationError, match=said),
        ):
            evaluation.compute(plan.rows)
        assert evaluation.executor._actors == [None]


def test_actors_share_a_gpu_if_there_are_more_of_them(make_request, cluster, monkeypatch):
    monkeypatch.setattr(RayExecutor, "_gpu_memory", lambda *_: 8 * GIBIBYTE)
    address = cluster(node(8, 2), node(8, 2, gpus=1))
    plan = build_plan(make_request(executor="ray", address=address, device="cuda", model="inpaint-a", workers=2))
    with RayExecutor(plan.session, plan.request) as executor:
        executor.reserve(taking(3))
        assert executor._resources.options == {"num_cpus": 1, "num_gpus": 0.5}
        first, second = places(executor)
        assert first == second
        with pytest.raises(ConfigurationError, match=r"does not hold 2 actors that need 5\.0 GiB each"):
            executor.reserve(taking(5))


@pytest.mark.parametrize("trusted", [True, False])
def test_an_attack_named_by_its_module_works_where_its_folder_is_not(
    make_request, project, tmp_path, monkeypatch, trusted
):
    pytest.importorskip("ray")
    options = {"attacks": (MODULE.format(project),), "batch_size": 2, "threads": 1, "trusted": trusted}
    plan = build_plan(make_request(**options))
    with closing(Evaluation(plan, Store(tmp_path / "here"), QUIET)) as evaluation:
        evaluation.compute(plan.attack_rows)
    plan = build_plan(make_request(**options, executor="ray"))
    # Ray's processes work in the folder in which they were started, which must not go.
    monkeypatch.chdir(tmp_path)
    with closing(Evaluation(plan, Store(tmp_path / "there"), QUIET)) as evaluation:
        assert evaluation.executor._actors == [None], "files are taken along before an actor is started"
        shutil.rmtree(project)
        evaluation.compute(plan.attack_rows)
        assert not evaluation.failures
    assert pictures(tmp_path / "there") == pictures(tmp_path / "here")
    assert pictures(tmp_path / "there")
