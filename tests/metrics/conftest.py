import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def _one_thread():
    """Images of 64 pixels are scored faster by one thread than by several that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
