"""The examples in a page of documentation, and whether what they show is what happens."""

import re
import shlex
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from textwrap import dedent

from tests.conftest import ROOT
from tests.e2e.server import running
from tests.needs import need

SERVICE = "http://127.0.0.1:8000"  # what pages call it
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
# Another processor rounds otherwise.
TOLERANCE = 2e-3

Session = list[tuple[str, str]]


def blocks(page: str, language: str) -> list[str]:
    """The page's code blocks in a language, those in tabs too."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", page, re.DOTALL | re.MULTILINE)
    return [dedent(block) for _, block in found]


def sessions(page: str) -> list[Session]:
    """The commands of each of the page's `console` blocks, with the output shown under each."""
    found = []
    for block in blocks(page, "console"):
        session = []
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.replace("\\\n", "").split("\n", 1)
            session.append((lines[0], dedent(lines[1]).strip() if len(lines) > 1 else ""))
        found.append(session)
    return found


def settings(session: Session) -> dict[str, str]:
    """What the session starts its service with: `NAME=value ... make serve`."""
    first, _ = session[0]
    return dict(word.split("=", 1) for word in shlex.split(first)[:-2]) if first.endswith(" make serve") else {}


def agree(shown: str, happened: str) -> bool:
    """Alike but for the last digits of numbers; `...` stands for anything."""
    pattern = re.escape(NUMBER.sub("\0", shown)).replace(re.escape("..."), ".*?").replace("\0", f"({NUMBER.pattern})")
    match = re.fullmatch(pattern.replace("\\\x00", f"({NUMBER.pattern})"), happened, re.DOTALL)
    if match is None:
        return False
    numbers = zip(NUMBER.findall(shown), match.groups(), strict=True)
    return all(abs(float(a) - float(b)) <= TOLERANCE for a, b in numbers)


def assert_sessions(page: str, service: str, folder: Path) -> None:
    """Every command prints what is shown under it, in a folder like a clone of the repository.

    Args:
        service: the address of one without settings; a session that begins with some has a service of its own.
    """
    need("curl", "the commands that are shown")
    checkout(folder)
    for session in sessions(page):
        own = settings(session)
        with running(REPARAM_LAZY_MODELS="true", **own) if own else nullcontext((service, None)) as (url, _):
            for command, shown in session:
                if command.endswith(("make serve", "make test")):
                    continue  # the fresh clone's test and this run itself are those
                happened = run(command.replace(SERVICE, url), folder)
                assert agree(shown, happened), f"{command}\nshown:\n{shown}\nhappened:\n{happened}"


def assert_program(page: str, language: str, url: str, folder: Path) -> None:
    """The page's blocks in Python or JavaScript, one after the other, print what their comments say.

    Args:
        url: of the service that they call.
    """
    program = "\n".join(blocks(page, language))
    shown = re.findall(r"^ *(?:print|console\.log)\(.*\) *(?:#|//) (.*)$", program, re.MULTILINE)
    assert shown, f"expected {language} that prints"
    checkout(folder)
    name = {"python": "example.py", "javascript": "example.mjs"}[language]
    (folder / name).write_text(program.replace(SERVICE, url).replace(SERVICE.split("//")[1], url.split("//")[1]))
    happened = run(f"{sys.executable if language == 'python' else 'node'} {name}", folder).splitlines()
    assert len(happened) == len(shown), happened
    for expected, found in zip(shown, happened, strict=True):
        assert agree(expected, found), f"shown:\n{expected}\nhappened:\n{found}"


def checkout(folder: Path) -> None:
    """What a clone after `make serve` has, without its own copy."""
    for name in ("app", "docs", "models", "tests"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(Path(sys.executable).parent.parent)


def run(command: str, folder: Path) -> str:
    """What a command prints. It must end well."""
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "COLUMNS": "200"}
    end = subprocess.run(
        ["bash", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert end.returncode == 0, (command, end.stdout, end.stderr)
    return dedent(end.stdout).strip()
