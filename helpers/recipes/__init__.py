"""Every recipe by name: which data, which base, which trainer, which settings. The table of contents of everything that is trained.

A reader looking for a number's origin ends here: `stages` holds the models of the series, `grid` the arms of the experiment in notebook 05.
"""

from helpers.files import LabError
from helpers.recipes import grid
from helpers.recipes.grid import GRID
from helpers.recipes.stages import BASE, STAGES, Recipe

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (*STAGES, *GRID, *grid.AFTER_CPT)}


def recipe_named(name: str) -> Recipe:
    """The recipe of this name; a clear error lists the names there are."""
    try:
        return RECIPES[name]
    except KeyError:
        stages = ", ".join(recipe.name for recipe in STAGES)
        raise LabError(
            f"There is no stage {name!r}. The stages are {stages} (and grid-…); recipes live in helpers/recipes/."
        ) from None


__all__ = ["BASE", "GRID", "RECIPES", "STAGES", "Recipe", "grid", "recipe_named"]
