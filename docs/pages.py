"""What the site adds to the pages: terms with their meaning, alt text of figures, formulas, links into the repository."""

import re
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform

ROOT = Path(__file__).resolve().parents[1]
GLOSSARY = "docs/glossary"
TERMS = {
    name[0].lower() + name[1:]: (nodes.make_id(heading), meaning)
    for heading, meaning in re.findall(
        r"^## (.+)\n\n(.+)", (ROOT / f"{GLOSSARY}.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    for name in heading.split(" and ")
}
LONGEST_FIRST = sorted(TERMS, key=len, reverse=True)
NAMED = re.compile(
    rf"(?<![\w-])({'|'.join(f'(?i:{name[0]}){re.escape(name[1:])}' for name in LONGEST_FIRST)})(?=s?(?![\w-]))"
)


def add_contents(app, page, source):
    """Append the table of contents to the first page."""
    if page == app.config.root_doc:
        source[0] += app.config.contents


class FolderLinks(SphinxPostTransform):
    """A link to a folder of this repository, which has no page, leads to the host of the repository."""

    default_priority = 5  # before MyST calls the link broken

    def run(self, **_):
        """Called for each page."""
        for link in list(self.document.findall(addnodes.pending_xref)):
            path = Path(self.env.doc2path(self.env.docname)).parent / link["reftarget"]
            if link["reftype"] == "myst" and path.is_dir():
                place = path.resolve().relative_to(ROOT).as_posix()
                link.replace_self(
                    nodes.reference("", "", *link.children, refuri=f"{self.config.repository}/{place}")
                )


def describe_figures(tree):
    """The caption under a figure says in words what it shows: it is the figure's alt text, too."""
    waiting = []
    for node in tree.findall(lambda one: isinstance(one, nodes.image | nodes.paragraph)):
        if isinstance(node, nodes.image):
            waiting += [] if node.get("alt") else [node]
        elif waiting and node.astext().startswith("Figure: "):
            waiting.pop(0)["alt"] = (
                node[0].astext().removeprefix("Figure: ")
            )  # without the line of its origin


def explain_terms(tree, glossary):
    """The first use of each term in the prose of a page becomes a link to the glossary, with its meaning as title."""
    seen = set()
    for text in list(tree.findall(nodes.Text)):
        prose = isinstance(text.parent, nodes.paragraph | nodes.strong | nodes.emphasis)
        if not prose or _is_kept(text.parent):
            continue
        pieces, rest = [], text.astext()
        while found := next((one for one in NAMED.finditer(rest) if _entry(one)[0] not in seen), None):
            anchor, meaning = _entry(found)
            seen.add(anchor)
            where = {"refuri": f"{glossary}#{anchor}", "reftitle": meaning, "internal": True}
            pieces += [
                nodes.Text(rest[: found.start()]),
                nodes.reference("", found[0], classes=["term"], **where),
            ]
            rest = rest[found.end() :]
        if pieces:
            text.parent.replace(text, [*pieces, nodes.Text(rest)])


def _entry(found):
    """Anchor and meaning of a term as it was found, with a capital letter or without."""
    return TERMS[found[0][0].lower() + found[0][1:]]


def _is_kept(node):
    """Does it stand in a link, or among what a cell has printed?"""
    while node:
        if isinstance(node, nodes.reference) or "cell_output" in node.get("classes", ()):
            return True
        node = node.parent
    return False


def finish(app, tree, page):
    """Alt texts and terms, once everything else about a page is settled."""
    describe_figures(tree)
    if page != GLOSSARY:
        explain_terms(tree, app.builder.get_relative_uri(page, GLOSSARY))


def scroll_by_key(*heard):
    """What is wider than a phone scrolls in its own box, which the keyboard must be able to enter."""
    context = heard[3]  # after the application, the page and its template
    if "body" in context:
        box = r'<div class="((?:table-wrapper|output text_html)\b[^"]*)"'
        context["body"] = re.sub(box, r'<div tabindex="0" class="\1"', context["body"])


def formula(self, node):
    """A formula as MathML, which browsers draw by themselves."""
    block = isinstance(node, nodes.math_block)
    tex = re.sub(r"\\(?:big|textstyle)(?![a-z])", "", node.astext())  # sizes, which docutils does not know
    self.body.append(tex2mathml(tex, as_block=block))
    raise nodes.SkipNode


def setup(app):
    """Called by Sphinx."""
    app.add_config_value("repository", "", "env")
    app.add_config_value("contents", "", "env")
    app.add_html_math_renderer("mathml", (formula, None), (formula, None))
    app.add_post_transform(FolderLinks)
    for event, act in {
        "source-read": add_contents,
        "doctree-resolved": finish,
        "html-page-context": scroll_by_key,
    }.items():
        app.connect(event, act)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
