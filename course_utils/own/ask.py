"""Asks a model that `course train` tuned a question about a picture.

course ask TUNED PICTURE "QUESTION"
"""

import argparse
from pathlib import Path

from course_utils.own.pictures import ask, load_answerer
from course_utils.own.words import ABOUT, ask_words, load_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tuned", type=Path, help="folder that `course train` wrote")
    parser.add_argument("picture", type=Path)
    parser.add_argument("question")


def run(options: argparse.Namespace) -> None:
    """Prints every answer with its chance, the likeliest first; or what SmolLM2 writes."""
    if (options.tuned / ABOUT).exists():
        print(ask_words(load_words(options.tuned), options.picture, options.question))
        return
    answerer = load_answerer(options.tuned)
    for answer, chance in ask(answerer, options.picture, options.question):
        print(f"{100 * chance:5.1f} %  {answer}")
