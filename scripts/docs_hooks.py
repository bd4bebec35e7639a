"""What makes the model cards pages of the documentation's site, and what its theme lacks."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ZOO = Path(__file__).resolve().parent.parent / "models" / "zoo"
CARD = re.compile(r"\]\((?:\.\./)+models/zoo/([\w-]+)/README\.md\)")


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add every shipped model's card, as models/NAME.md."""
    for card in sorted(ZOO.glob("*/README.md")):
        files.append(File.generated(config, f"models/{card.parent.name}.md", abs_src_path=str(card)))


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Point links to a card at its page."""
    folder = posixpath.dirname(page.file.src_uri)
    return CARD.sub(lambda link: f"]({posixpath.relpath(f'models/{link[1]}.md', folder)})", markdown)


def on_post_page(output: str, **_: object) -> str:
    """Give the theme's search a name, for who cannot see it."""
    search = 'data-md-component="search" role="dialog"'
    return output.replace(search, f'{search} aria-label="Search"')
