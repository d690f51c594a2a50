"""The words of the world, in one table a language. A second language adds a table, no code."""

LANGUAGES = {
    "en": {
        "colour": dict(
            red="red",
            green="green",
            blue="blue",
            black="black",
            gray="gray",
            teal="teal",
            brown="brown",
            yellow="yellow",
        ),
        "shape": dict(circle="circle", square="square", triangle="triangle", cross="cross"),
        "shapes": dict(circle="circles", square="squares", triangle="triangles", cross="crosses"),
        "size": dict(small="small", large="large"),
        "relation": dict(left="left of", right="right of", above="above", below="below"),
        "near": "next to",
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
        "and": " and ",
        "the": "the {thing}",
        "the relation": "the {thing} {relation} the {thing2}",
    },
    "zh": {
        "colour": dict(
            red="红色",
            green="绿色",
            blue="蓝色",
            black="黑色",
            gray="灰色",
            teal="青色",
            brown="棕色",
            yellow="黄色",
        ),
        "shape": dict(circle="圆形", square="正方形", triangle="三角形", cross="十字形"),
        "shapes": dict(circle="圆形", square="正方形", triangle="三角形", cross="十字形"),
        "size": dict(small="小", large="大"),
        "relation": dict(left="左边", right="右边", above="上面", below="下面"),
        "near": "旁边",
        "object": "物体",
        "objects": "物体",
        "thing": "{size}{colour}{shape}",
        "exists": "有{thing}吗？",
        "negation": "没有{thing}吗？",
        "colour?": "{thing}是什么颜色的？",
        "shape?": "{thing}是什么形状的？",
        "size?": "{thing}是小的还是大的？",
        "count": "有多少个{things}？",
        "compare": "{things}比{things2}多吗？",
        "relation?": "{thing}在{thing2}的{relation}吗？",
        "caption": "一个{thing}",
        "caption there": "有一个{thing}",
        "caption relation": "{caption}在一个{thing}的{relation}",
        "and": "和",
        "the": "那个{thing}",
        "the relation": "在{thing2}{relation}的那个{thing}",
    },
}


def words(language: str) -> dict:
    """The table of a language.

    Raises:
        ValueError: there is none.
    """
    if language not in LANGUAGES:
        raise ValueError(f"language: expected one of {', '.join(LANGUAGES)}, got {language!r}")
    return LANGUAGES[language]


def thing(
    language: str,
    size: str | None = None,
    colour: str | None = None,
    shape: str | None = None,
    plural: bool = False,
) -> str:
    """A noun with its adjectives: "large red circle", "red objects", "circle"."""
    table = words(language)
    nouns, none = ("shapes", "objects") if plural else ("shape", "object")
    text = table["thing"].format(
        size=table["size"][size] if size else "",
        colour=table["colour"][colour] if colour else "",
        shape=table[nouns][shape] if shape else table[none],
    )
    return " ".join(text.split())
