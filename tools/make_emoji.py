"""Make data/emoji/ from two packages of the npm registry.

    npm pack emoji-datasource-twitter@16.0.0 cldr-annotations-full@48.2.0
    python -m tools.make_emoji emoji-datasource-twitter-16.0.0.tgz cldr-annotations-full-48.2.0.tgz

Writes pictures.png (all pictures in one sheet, row by row, on white) and emoji.json (names,
keywords, families and parts). The same packages give the same two files.
"""

import hashlib
import io
import json
import re
import sys
import tarfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "data" / "emoji"
SIDE, COLUMNS = 64, 40
LANGUAGES = ("en", "zh")
LARGE = 12  # families larger than this are for training: clocks alone would be a tenth of the test
SIZES = {"test": 240, "validation": 160}  # at least so many pictures; all others are for training
ALIKE = 0.05  # pictures that differ by less of their ink belong to one family

# whole subcategories in which pictures differ in a detail
GROUPS = {
    "alphanum": "buttons",
    "av-symbol": "buttons",
    "arrow": "buttons",
    "keycap": "buttons",
    "geometric": "geometric shapes",
    "zodiac": "zodiac",
    "religion": "religious symbols",
    "transport-sign": "signs",
    "warning": "signs",
    "gender": "gender signs",
    "math": "mathematics",
    "punctuation": "punctuation",
    "heart": "hearts",
    "flag": "flags",
    "time": "clocks",
    "skin-tone": "skin tones",
    "cat-face": "cat faces",
    "monkey-face": "three monkeys",
    "hands": "hands",
    "hand-prop": "hands",
}
SUBJECTS = r"\b(woman|man|women|men|person|people|boy|girl|older|old|santa|mx|mrs\.?|and)(’s)?\b:?"
VARIANTS = {
    "mermaid": "merfolk",
    "merman": "merfolk",
    "merperson": "merfolk",
    "princess": "royalty",
    "prince": "royalty",
    "with crown": "royalty",
    "breast-feeding": "feeding baby",
    "beard": "plain people",
    "blond hair": "plain people",
    "": "plain people",
    "child": "plain people",
    "baby": "plain people",
}


def read(archive: str, pattern: str) -> dict[str, bytes]:
    """Files of a package by their path, without its first folder."""
    with tarfile.open(archive) as tar:
        return {
            m.name.split("/", 1)[1]: tar.extractfile(m).read()
            for m in tar
            if m.isfile() and re.search(pattern, m.name)
        }


def singular(word: str) -> str:
    return word if word.endswith("ss") or len(word) < 4 else word.removesuffix("s")


def family_by_name(name: str, category: str, subcategory: str) -> str:
    """The family that name and subcategory give.

    People: the name without the words that say gender and age. Others: what the picture mainly
    shows, the last word before "with", "of" and the like: cloud with rain -> cloud.
    """
    if subcategory in GROUPS:
        return GROUPS[subcategory]
    if subcategory.startswith("face-") and subcategory != "face-costume":
        return "smileys"
    if subcategory.startswith("hand-"):
        return "hands"
    name = name.lower()
    if category == "People & Body":
        rest = " ".join(re.sub(SUBJECTS, " ", name).split())
        rest = VARIANTS.get(rest, rest)
        return "families" if rest.startswith("family") else rest
    head = re.split(r" (?:with|without|of|in|on|behind|showing|for)\b|:|,", name)[0]
    head = re.sub(r"(?<=\w) (face|tilted left|tilted right)$", "", head)
    return singular(re.findall(r"[\w’-]+", head)[-1])


def join(labels: list[str], pictures: np.ndarray) -> list[str]:
    """Families that hold look-alikes are joined; a joined family has its most frequent label."""
    small = pictures.reshape(len(pictures), 16, 4, 16, 4, 3).mean((2, 4)) / 255  # (n, 16, 16, 3)
    small = small.reshape(len(pictures), -1).astype(np.float32)  # (n, 768)
    ink = (pictures < 247).any(-1).mean((1, 2))  # (n,) share of pixels that are not white
    parent = {label: label for label in labels}

    def root(label: str) -> str:
        while parent[label] != label:
            label = parent[label]
        return label

    for i in range(len(small) - 1):
        difference = np.abs(small[i + 1 :] - small[i]).mean(1)  # (later pictures,)
        for j in np.nonzero(difference < ALIKE * np.minimum(ink[i], ink[i + 1 :]))[0] + i + 1:
            parent[root(labels[j])] = root(labels[i])
    members = defaultdict(list)
    for label in labels:
        members[root(label)].append(label)
    names = {key: max(sorted(set(group)), key=group.count) for key, group in members.items()}
    return [names[root(label)] for label in labels]


def split(families: list[str]) -> dict[str, str]:
    """The part of each family. Small families, in the order of a hash of their names, fill the test
    part, then the validation part."""
    parts = dict.fromkeys(families, "train")
    small = [f for f in parts if families.count(f) <= LARGE]
    small.sort(key=lambda family: hashlib.sha256(family.encode()).hexdigest())
    for part, size in SIZES.items():
        while size > 0 and small:
            family = small.pop()
            parts[family] = part
            size -= families.count(family)
    return parts


def on_white(png: bytes) -> np.ndarray:
    """(64, 64, 3) uint8: the picture on a white ground."""
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    return np.asarray(ground.convert("RGB"))


def make(pictures_archive: str, names_archive: str) -> tuple[np.ndarray, list[dict]]:
    """All pictures (n, 64, 64, 3) uint8 that have a name in each language, and their records."""
    files = read(pictures_archive, r"/emoji\.json$|/img/twitter/64/")
    notes = read(names_archive, r"/annotations/(en|zh)/annotations\.json$")
    words = {
        language: json.loads(notes[f"annotations/{language}/annotations.json"])["annotations"][
            "annotations"
        ]
        for language in LANGUAGES
    }
    pictures, records, labels = [], [], []
    for entry in json.loads(files["emoji.json"]):
        text = "".join(chr(int(code, 16)) for code in entry["unified"].split("-"))
        plain = text.replace("\ufe0f", "")  # the names often stand without this selector
        found = [words[lang].get(text) or words[lang].get(plain) for lang in LANGUAGES]
        path = f"img/twitter/64/{entry['image']}"
        if path not in files or not all(found):
            continue
        pictures.append(on_white(files[path]))
        records.append(
            {
                "id": entry["unified"],
                "category": entry["category"],
                "names": {lang: f["tts"][0] for lang, f in zip(LANGUAGES, found)},
                "keywords": {lang: f.get("default", []) for lang, f in zip(LANGUAGES, found)},
            }
        )
        labels.append(family_by_name(found[0]["tts"][0], entry["category"], entry["subcategory"]))
    pictures = np.stack(pictures)  # (n, 64, 64, 3)
    families = join(labels, pictures)
    parts = split(families)
    for record, family in zip(records, families):
        record["family"], record["part"] = family, parts[family]
    return pictures, records


def sheet(pictures: np.ndarray) -> np.ndarray:
    """All pictures in one, row by row; white where there is none."""
    rows = -(-len(pictures) // COLUMNS)
    cells = np.full((rows * COLUMNS, SIDE, SIDE, 3), 255, np.uint8)
    cells[: len(pictures)] = pictures
    cells = cells.reshape(rows, COLUMNS, SIDE, SIDE, 3).swapaxes(1, 2)
    return cells.reshape(rows * SIDE, COLUMNS * SIDE, 3)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    pictures, records = make(*sys.argv[1:])
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / "pictures.png"
    Image.fromarray(sheet(pictures)).save(path, optimize=True)
    content = {
        "side": SIDE,
        "columns": COLUMNS,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    head = json.dumps(content)[1:-1]
    text = f'{{{head}, "emoji": [\n{lines}\n]}}\n'
    (FOLDER / "emoji.json").write_text(text, encoding="utf-8")
    print(f"{len(records)} pictures, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
