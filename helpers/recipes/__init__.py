"""Every recipe by name: which data, which base, which settings. The table of contents of the models that the
series keeps.
"""

from helpers.files import LabError
from helpers.recipes.medical import base_texts, build_corpus, medical_texts
from helpers.recipes.stages import BASE, STAGES, Recipe

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in STAGES}


def recipe_named(name: str) -> Recipe:
    """The recipe of this name; a clear error lists the names there are."""
    try:
        return RECIPES[name]
    except KeyError:
        raise LabError(
            f"There is no stage {name!r}. The stages are {', '.join(RECIPES)}; recipes live in "
            f"helpers/recipes/."
        ) from None


__all__ = [
    "BASE",
    "RECIPES",
    "STAGES",
    "Recipe",
    "base_texts",
    "build_corpus",
    "medical_texts",
    "recipe_named",
]
