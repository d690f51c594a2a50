"""The command `course`: the course's joint model for real pictures, on your own.

    course example FOLDER                    a folder to try it with
    course train FOLDER                      tunes the model on the pictures and questions there
    course ask TUNED PICTURE "QUESTION"      asks the tuned model

With several processes: accelerate launch --num_processes 2 -m course_utils.own.command train FOLDER
"""

import argparse
import io
import sys

from course_utils.own import ask, example, train

COMMANDS = {"train": train, "ask": ask, "example": example}


def parser() -> argparse.ArgumentParser:
    """Each module of COMMANDS has `add_arguments(parser)` and `run(options)`."""
    raw = argparse.RawDescriptionHelpFormatter
    whole = argparse.ArgumentParser("course", description=__doc__, formatter_class=raw)
    parts = whole.add_subparsers(metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        told = str(module.__doc__)
        first = told.splitlines()[0].rstrip(".")
        part = parts.add_parser(name, help=first, description=told, formatter_class=raw)
        module.add_arguments(part)
        part.set_defaults(run=module.run)
    return whole


def main(arguments: list[str] | None = None) -> None:
    """What is wrong with the input is told in a line that begins with "error: "."""
    options = parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may not know each sign of an answer
        sys.stdout.reconfigure(errors="replace")
    try:
        options.run(options)
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped by hand")


if __name__ == "__main__":
    main()
