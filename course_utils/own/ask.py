"""Asks a model that `course_utils.own.train` tuned a question about a picture.

python -m course_utils.own.ask TUNED PICTURE "QUESTION"
"""

import argparse
import sys
from pathlib import Path

from course_utils.own.pictures import ask, load_answerer


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m course_utils.own.ask", description=__doc__)
    parser.add_argument("tuned", type=Path, help="folder that course_utils.own.train wrote")
    parser.add_argument("picture", type=Path)
    parser.add_argument("question")
    options = parser.parse_args(arguments)
    try:
        answerer = load_answerer(options.tuned)
        for answer, chance in ask(answerer, options.picture, options.question):
            print(f"{100 * chance:5.1f} %  {answer}")
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
