"""The picker of notebook 11: which file for which phone, as a table, a map, and sliders."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
from IPython.display import Markdown, display

from helpers.lab.picker import Advice
from helpers.show.figures import present, static, table


def offers_table(advice: Advice) -> Markdown:
    """Every step on one phone: memory needed, speed at most, and what is held against it."""
    return table(
        [
            {
                "": "→" if offer is advice.chosen else "",
                "step": offer.quant,
                "needs": f"{offer.needed / 1e9:.2f} GB {'✓' if offer.fits else '✗'}",
            }
            | {"tokens a second, at most": f"{offer.at_most:.0f} {'✓' if offer.fast else '✗'}"}
            | {"held against its like on nano": "; ".join(offer.against) or "nothing"}
            for offer in advice.offers
        ]
    )


def phone_map(
    advise: Callable[[float, float], Advice], memories: Sequence[float], bandwidths: Sequence[float]
) -> dict[str, int]:
    """The recommended step for every phone of a grid, named in its cell; returns how many cells each step has."""
    grid = [[advise(memory, bandwidth) for memory in memories] for bandwidth in bandwidths]
    steps = [offer.quant for offer in grid[0][0].offers]
    figure, axes = plt.subplots(figsize=(8.6, 0.4 * len(bandwidths) + 1.6))
    counts = dict.fromkeys((*steps, "none"), 0)
    for row, line in enumerate(grid):
        for column, advice in enumerate(line):
            name = advice.chosen.quant if advice.chosen else "none"
            counts[name] += 1
            shade = plt.get_cmap("Blues")(0.75 - 0.11 * steps.index(name)) if advice.chosen else "#eeeeee"
            axes.add_patch(
                plt.Rectangle((column, row), 1, 1, facecolor=shade, edgecolor="white", linewidth=1.5)
            )
            ink = "white" if advice.chosen and steps.index(name) < 3 else "black"
            axes.text(
                column + 0.5,
                row + 0.5,
                name if advice.chosen else "–",
                ha="center",
                va="center",
                fontsize=8,
                color=ink,
            )
    axes.set_xticks([place + 0.5 for place in range(len(memories))], [f"{one:g}" for one in memories])
    axes.set_yticks([place + 0.5 for place in range(len(bandwidths))], [f"{one:g}" for one in bandwidths])
    axes.set(
        xlim=(0, len(memories)),
        ylim=(0, len(bandwidths)),
        xlabel="memory of the phone (GB)",
        ylabel="memory bandwidth (GB/s)",
    )
    axes.grid(False)
    axes.tick_params(length=0)
    axes.set_title("LFM2.5-1.2B: the largest file that fits and keeps up")
    listed = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    phone = grid[0][0].phone
    assumed = f"an app may fill {phone.share:.0%} of the memory, {phone.wanted:g} tokens a second wanted, every weight read once a token"
    present(
        figure,
        f"recommended file of LFM2.5-1.2B by memory and bandwidth ({assumed}), in cells: {listed}.",
        seeds=None,
    )
    return {name: count for name, count in counts.items() if count}


def pick_file(
    draw: Callable[[float, float, float], None], points: Sequence[tuple[float, float, float]]
) -> None:
    """Three sliders, memory, bandwidth and wanted speed; `draw(memory, bandwidth, wanted)` shows the advice. Static pages show `points`."""
    if static():
        display(Markdown("*In a live notebook three sliders describe your phone. Here are some phones:*"))
        for point in points:
            draw(*point)
        return
    import ipywidgets

    memory, bandwidth, wanted = points[0]
    sliders = {
        "memory": ipywidgets.FloatSlider(
            value=memory, min=1, max=16, step=0.5, description="memory (GB)", continuous_update=False
        ),
        "bandwidth": ipywidgets.FloatSlider(
            value=bandwidth, min=2, max=80, step=1, description="GB/s", continuous_update=False
        ),
        "wanted": ipywidgets.FloatSlider(
            value=wanted, min=1, max=40, step=1, description="tokens/s", continuous_update=False
        ),
    }
    display(ipywidgets.VBox(list(sliders.values())), ipywidgets.interactive_output(draw, sliders))
