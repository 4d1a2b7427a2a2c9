"""Command line of the recipe: `python -m recipes.photos`."""

from __future__ import annotations

from photoguard_eval import resources
from recipes.photos.dataset import make_dataset


def main() -> None:
    """Write masks and metadata of `datasets/photos`."""
    folder = resources.datasets_folder() / "photos"
    make_dataset(folder)
    print(f"{folder} is written.")


if __name__ == "__main__":
    main()
