"""A blind user study on two sets of runs, as the paper's Table 1.

gsd study make multirun/sds multirun/gsd --out study    pairs of the same prompt and seed
gsd study serve study                                   the page for the raters
gsd study analyse study                                 preferences, intervals, tests, agreement, power
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
from contextlib import closing, suppress
from pathlib import Path

from gsd.cli.errors import guarded
from gsd.errors import GsdError


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="gsd study", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)

    making = commands.add_parser("make", help="pairs from two sets of runs", description=_make.__doc__)
    making.add_argument(
        "sets", nargs="+", metavar="A B", help="a folder each, or 'FOLDER KEY=VALUE ...' to choose in it"
    )
    making.add_argument("--out", type=Path, required=True, help="the study's folder, which must not exist")
    making.add_argument(
        "--names", nargs=2, metavar=("A", "B"), help="of both sides, for the tables; raters never see them"
    )
    making.add_argument(
        "--show", choices=["turntable", "views"], default="turntable", help="in sync, or six views a side"
    )
    making.add_argument("--trials", type=int, help="pairs that a rater sees (all)")
    making.add_argument(
        "--broken", type=int, default=2, help="trials with a spoilt scene, to catch who does not look (2)"
    )
    making.add_argument("--mirrored", type=int, help="pairs seen a second time with the sides exchanged (1)")
    making.add_argument("--tie", action="store_true", help="allow 'no difference'; the paper's study did not")
    making.add_argument("--consent", type=Path, help="a text file with your own words for the first page")
    making.add_argument("--seed", type=int, help="of sides and order; drawn if not given")
    making.set_defaults(act=_make)

    serving = commands.add_parser("serve", help="the page for the raters", description=_serve.__doc__)
    serving.add_argument("study", type=Path)
    serving.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine alone)")
    serving.add_argument("--port", type=int, default=8000, help="(8000); 0 takes a free one")
    serving.set_defaults(act=_serve)

    analysing = commands.add_parser("analyse", help="what the raters prefer", description=_analyse.__doc__)
    analysing.add_argument("study", type=Path)
    analysing.add_argument("--out", type=Path, help="folder for result.json, table.md and votes.csv (the study's)")
    analysing.set_defaults(act=_analyse)

    args = parser.parse_args()
    guarded(lambda: args.act(args))


def _make(args: argparse.Namespace) -> None:
    """Pairs runs of the same prompt and seed; a turns up on either side. Several pairs of sets: A1 B1 A2 B2 ..."""
    from gsd.tools.study.inference import needed
    from gsd.tools.study.make import Options, make
    from gsd.tools.study.study import CONSENT

    study = make(
        args.sets,
        args.out,
        Options(
            names=tuple(args.names) if args.names else None,
            seed=args.seed,
            show=args.show,
            tie=args.tie,
            trials=args.trials,
            broken=args.broken,
            mirrored=args.mirrored,
            consent=_paragraphs(args.consent) if args.consent else CONSENT,
        ),
    )
    for sentence in study.left_out:
        print(sentence, file=sys.stderr)
    print(
        f"{args.out}: {len(study.pairs)} pairs, {study.trials} a rater "
        f"and {study.mirrored + len(study.broken)} catch trials"
    )
    for line in study.differences:
        print(f"  {line}")
    print(
        f"{needed(study.trials)} raters find a preference of 60 % with a power of 80 %; start with "
        f"gsd study serve {args.out}"
    )


def _serve(args: argparse.Namespace) -> None:
    """Serves the study until it is stopped. Votes lie in votes.sqlite; the same command goes on with them."""
    from gsd.tools.study.study import load
    from gsd.tools.study.votes import Votes

    try:
        from gsd.tools.study.server import server
    except ModuleNotFoundError as error:
        raise GsdError(f"The page needs the package {error.name}: pip install -e '.[study]' in a checkout.") from None
    study = load(args.study)
    votes = Votes(args.study, study)
    try:
        listener = socket.create_server((args.host, args.port))
    except (OSError, OverflowError, UnicodeError) as error:
        raise GsdError(
            f"{args.host}:{args.port} cannot be listened on ({error}); choose another --host or --port."
        ) from error
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    if study.simulated:
        print("This study is for simulated raters: whoever answers it is counted as one of them.", file=sys.stderr)
    host, port = listener.getsockname()
    print(f"http://{host}:{port}/ (Ctrl-C stops; votes are kept)", flush=True)
    if args.host not in ("127.0.0.1", "localhost"):
        print("Others can reach this page. Across the internet, put a server with https in front of it.", flush=True)
    with closing(votes), suppress(KeyboardInterrupt):
        server(args.study, study, votes).run([listener])
    print("Stopped.")


def _analyse(args: argparse.Namespace) -> None:
    """Preferences with intervals and tests, of those who count by the rules in study.json, written before the votes."""
    from gsd.tools.study.report import write

    print(write(args.study, args.out or args.study))


def _paragraphs(file: Path) -> tuple[str, ...]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GsdError(f"--consent {file} cannot be read: {error}.") from error
    paragraphs = tuple(" ".join(part.split()) for part in text.split("\n\n") if part.strip())
    if not paragraphs:
        raise GsdError(f"--consent {file} is empty; it must say what raters agree to.")
    return paragraphs


if __name__ == "__main__":
    main()
