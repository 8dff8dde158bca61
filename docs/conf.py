"""Sphinx's settings for `make site`: the committed pages as they stand, nothing executed. helpers/site.py calls it."""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PAGES = ["docs/glossary", "docs/phone", "CONTRIBUTING", "data/README", "data/nano-base/README"]

project, html_title, language = PROJECT["project"]["name"], "The triage lab", "en"
repository = (
    f"https://github.com/{PROJECT['tool']['triage-lab']['repository']}/tree/v{PROJECT['project']['version']}"
)
extensions, root_doc = ["myst_nb", "pages"], "README"
include_patterns = ["README.md", "notebooks/*.ipynb", *(f"{page}.md" for page in PAGES)]
exclude_patterns = [".*", "build", "tests", "helpers"]

nb_execution_mode, nb_merge_streams = "off", True
myst_enable_extensions, myst_heading_anchors = ["dollarmath"], 3
myst_dmath_allow_space = myst_dmath_allow_digits = False  # "$1.40 in, $2 out" is money

html_theme, html_static_path, html_css_files = "furo", ["site.css"], ["site.css"]
html_copy_source, html_math_renderer = False, "mathml"
# The README stays what it is; its table of contents exists only here.
contents = f"""

```{{toctree}}
:hidden:
:glob:

notebooks/*
```

```{{toctree}}
:hidden:

{chr(10).join(PAGES)}
```
"""
