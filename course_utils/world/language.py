"""The words of the world, in one table a language. A second language adds a table, no code."""

LANGUAGES = {
    "en": {
        "colour": dict(red="red", green="green", blue="blue", black="black", gray="gray",
                       teal="teal", brown="brown", yellow="yellow"),
        "shape": dict(circle="circle", square="square", triangle="triangle", cross="cross"),
        "shapes": dict(circle="circles", square="squares", triangle="triangles", cross="crosses"),
        "size": dict(small="small", large="large"),
        "relation": dict(left="left of", right="right of", above="above", below="below"),
        "object": "object",
        "objects": "objects",
        # {thing} is a noun with its adjectives, {things} the same in the plural
        "thing": "{size} {colour} {shape}",
        "exists": "is there a {thing}?",
        "negation": "is there no {thing}?",
        "colour?": "what colour is the {thing}?",
        "shape?": "what shape is the {thing}?",
        "size?": "is the {thing} small or large?",
        "count": "how many {things} are there?",
        "compare": "are there more {things} than {things2}?",
        "relation?": "is the {thing} {relation} the {thing2}?",
        "caption": "a {thing}",
        "caption there": "there is a {thing}",
        "caption relation": "{caption} {relation} a {thing}",
        "the": "the {thing}",
        "the relation": "the {thing} {relation} the {thing2}",
    },
}  # fmt: skip


def words(language: str) -> dict:
    """The table of a language.

    Raises:
        ValueError: there is none.
    """
    if language not in LANGUAGES:
        raise ValueError(f"language: expected one of {', '.join(LANGUAGES)}, got {language!r}")
    return LANGUAGES[language]


def thing(
    language: str, size: str | None = None, colour: str | None = None, shape: str | None = None,
    plural: bool = False,
) -> str:  # fmt: skip
    """A noun with its adjectives: "large red circle", "red objects", "circle"."""
    table = words(language)
    nouns, none = ("shapes", "objects") if plural else ("shape", "object")
    text = table["thing"].format(
        size=table["size"][size] if size else "",
        colour=table["colour"][colour] if colour else "",
        shape=table[nouns][shape] if shape else table[none],
    )
    return " ".join(text.split())
