"""Every recipe by name: which data, which base, which settings, for each model that the series keeps."""

from helpers.files import LabError
from helpers.recipes.medical import base_texts, build_corpus, medical_texts
from helpers.recipes.stages import BASE, STAGES, Recipe

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in STAGES}


def recipe_named(name: str) -> Recipe:
    """The recipe of this name; a `LabError` lists the names there are."""
    if name not in RECIPES:
        known = f"The stages are {', '.join(RECIPES)}; recipes live in helpers/recipes/"
        raise LabError(f"There is no stage {name!r}. {known}.")
    return RECIPES[name]
