"""A notebook's code, read and not run: what its cells call, and its functions executed alone."""

import ast

from helpers import notebooks
from helpers.files import ROOT


class Cells:
    """The code cells of a notebook, without the one that sets it up.

    Attributes:
        tagged: (source, tags) of each cell. trees: the sources, parsed. functions: those of the notebook, by
            name.
    """

    def __init__(self, name):
        self.path = ROOT / "notebooks" / f"{name}.ipynb"
        cells = [cell for cell in notebooks.read(self.path).cells if cell.cell_type == "code"]
        tagged = [(cell.source, cell.metadata.get("tags", [])) for cell in cells]
        self.tagged = [(source, tags) for source, tags in tagged if notebooks.BOOT_TAG not in tags]
        self.trees = [ast.parse(source) for source, _ in self.tagged]
        every = [node for tree in self.trees for node in tree.body]
        self.functions = {node.name: node for node in every if isinstance(node, ast.FunctionDef)}

    def calls(self, name):
        """Every call of this name, anywhere in the notebook."""
        nodes = [node for tree in self.trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
        return [node for node in nodes if ast.unparse(node.func) == name]

    def reached(self, name):
        """Everything that a function of the notebook calls, through the notebook's own functions."""
        waiting, reached = [name], set()
        while waiting:
            for call in names_called(self.functions[waiting.pop()]):
                if call in self.functions and call not in reached:
                    waiting.append(call)
                reached.add(call)
        return reached

    def defined(self, *names, **space):
        """A function of the notebook, executed alone, or several of them; `space` is what they find around
        them.
        """
        body = [self.functions[name] for name in names]
        exec(compile(ast.Module(body, []), self.path.name, "exec"), space)
        return [space[name] for name in names] if len(names) > 1 else space[names[0]]


def names_called(tree):
    """The names of everything that a piece of code calls."""
    return [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
