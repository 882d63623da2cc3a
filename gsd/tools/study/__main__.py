"""A blind user study on two sets of runs, as the paper's Table 1.

gsd study make multirun/sds multirun/gsd --out study    pairs of the same prompt and seed
gsd study serve study                                   the page for the raters
gsd study analyse study                                 preferences, intervals and tests
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
    parser = argparse.ArgumentParser("gsd study", None, __doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    making = commands.add_parser("make", description=_make.__doc__)
    making.add_argument("sets", nargs="+", metavar="A B", help="folders of runs, or 'FOLDER KEY=VALUE ...' for some")
    making.add_argument("--out", type=Path, required=True, help="the study's folder, which must not exist")
    making.add_argument("--names", nargs=2, metavar=("A", "B"), help="of the sets, for the table")
    making.set_defaults(act=_make)

    serving = commands.add_parser("serve", description=_serve.__doc__)
    serving.add_argument("study", type=Path, help="the study's folder")
    serving.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine only)")
    serving.add_argument("--port", type=int, default=8000, help="(8000); 0 takes a free one")
    serving.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="another name of this server"
    )
    serving.add_argument("--per-address", type=int, default=100, help="raters who may begin from one address (100)")
    serving.add_argument("--raters", type=int, default=2000, help="raters in all (2000)")
    serving.set_defaults(act=_serve)

    analysing = commands.add_parser("analyse", description=_analyse.__doc__)
    analysing.add_argument("study", type=Path, help="the study's folder")
    analysing.set_defaults(act=_analyse)

    args = parser.parse_args()
    guarded(lambda: args.act(args))


def _make(args: argparse.Namespace) -> None:
    """Pairs runs of the same prompt and seed. Several pairs of sets are A1 B1 A2 B2 ... Raters never see names.

    The consent text and the rules of exclusion are in study.json and can be changed there until the first rater begins.
    """
    from gsd.tools.study.make import make

    study = make(args.sets, args.out, args.names and tuple(args.names))
    print(f"{args.out}: {len(study.pairs)} pairs, {study.total} trials per rater; gsd study serve {args.out}")


def _serve(args: argparse.Namespace) -> None:
    """Serves the study until it is stopped. Votes lie in votes.sqlite, and the same command goes on with them."""
    from gsd.browser.hosts import EVERYWHERE, NO_ADDRESS, warning
    from gsd.tools.study.study import load
    from gsd.tools.study.votes import Votes

    if not args.host:
        raise GsdError(NO_ADDRESS)
    for option in ("per_address", "raters"):
        if getattr(args, option) < 1:
            raise GsdError(f"--{option.replace('_', '-')} {getattr(args, option)}: must be at least 1.")

    try:
        from gsd.tools.study.server import server
    except ModuleNotFoundError as error:
        raise GsdError(f"The page needs the package {error.name}: pip install -e '.[study]' in a checkout.") from None
    study = load(args.study)
    try:
        family = socket.AF_INET6 if ":" in args.host else socket.AF_INET
        listener = socket.create_server((args.host, args.port), family=family)
    except (OSError, OverflowError, UnicodeError) as error:
        raise GsdError(f"{args.host}:{args.port} cannot be used ({error}); choose another --host or --port.") from error
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    if sentence := warning(args.host, "whoever reaches it can see the films and take part"):
        print(sentence, file=sys.stderr, flush=True)
    with closing(Votes(args.study, study, args.raters)) as votes, suppress(KeyboardInterrupt):
        host, port = listener.getsockname()[:2]
        name = socket.gethostname() if host in EVERYWHERE else f"[{host}]" if ":" in host else host
        print(f"http://{name}:{port}/ (Ctrl-C stops; votes are kept)", flush=True)
        server(args.study, study, votes, args.allow_host, args.per_address).run([listener])
    print("Stopped.")


def _analyse(args: argparse.Namespace) -> None:
    """Preferences of the raters who count by the rules in study.json; also as result.json, table.md and votes.csv."""
    from gsd.tools.study.analyse import write

    print(write(args.study))


if __name__ == "__main__":
    main()
